"""Engine.IO packets and payloads."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.fanout.frames import Message
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.packets import (
    MESSAGE,
    EnginePacket,
    PacketError,
    RequestRefused,
    decode,
    decode_payload,
    encode_payload,
)
from wsgw.protocols.longtext import LONG_TEXT_BYTES, LongText

Read = Callable[[bytes], EnginePacket]

#: Text of messages as Socket.IO sends it: JSON has no control characters.
TEXT = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32))


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        (Message(True, b"4hello"), EnginePacket("4", "hello")),
        (Message(True, b"4"), EnginePacket("4", "")),
        (Message(True, b"2probe"), EnginePacket("2", "probe")),
        (Message(True, "4é€".encode()), EnginePacket("4", "é€")),
        (Message(False, b"\x00\xff"), EnginePacket("4", b"\x00\xff")),
        (Message(False, b""), EnginePacket("4", b"")),
    ],
)
def test_decode(message: Message, packet: EnginePacket) -> None:
    assert decode(message) == packet


def test_the_fixed_packets_as_the_protocol_writes_them() -> None:
    fixed = [engineio.CLOSE_PACKET, engineio.PING_PACKET, engineio.PROBE_REPLY, engineio.NOOP_PACKET]
    assert fixed == [Message(True, data) for data in (b"1", b"2", b"3probe", b"6")]


@pytest.mark.parametrize("data", [b"", b"7", b"abc", b" 4", "٤".encode(), b"4\xff"])
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(PacketError):
        decode(Message(True, data))


def test_payload_of_text_and_binary_as_the_protocol_shows_it() -> None:
    packets = list(decode_payload(b"4hello\x1ebAQIDBA==\x1e3"))
    assert packets == [EnginePacket("4", "hello"), EnginePacket("4", b"\x01\x02\x03\x04"), EnginePacket("3", "")]


@pytest.mark.parametrize("body", [b"", b"4a\x1e", b"\x1e4a", b"b!", b"bA", b"b\xff", b"4a\x1eabc"])
def test_broken_payload_is_refused_where_it_breaks(body: bytes) -> None:
    read: list[EnginePacket] = []
    with pytest.raises(PacketError):
        read.extend(decode_payload(body))
    assert read == ([EnginePacket("4", "a")] if body.startswith(b"4a") else [])


@pytest.mark.parametrize("read", [lambda data: decode(Message(True, data)), lambda data: next(decode_payload(data))])
class TestBase64:
    """A binary packet as text: in polling payloads, and in text messages of clients that are told to send no binary."""

    @pytest.mark.parametrize(
        ("text", "data"),
        [
            *((b"", b""), (b"AQI=", b"\1\2"), (b"AQ==", b"\1"), (b"+/+/", b"\xfb\xff\xbf")),
            # lines, as java.util's MIME encoder and Android's default write them
            *((b"AQID\n", b"\1\2\3"), (b"AQ\r\nID\r\n", b"\1\2\3"), (b"A Q\tI D", b"\1\2\3"), (b"\n", b"")),
            *((b"AQ", b"\1"), (b"AQ=", b"\1"), (b"AQI", b"\1\2"), (b"AQ\n", b"\1")),  # no padding
            *((b"-_-_", b"\xfb\xff\xbf"), (b"+/-_", b"\xfb\xff\xbf"), (b"_w\n", b"\xff")),  # the URL alphabet
        ],
    )
    def test_is_read_as_encoders_write_it(self, read: Read, text: bytes, data: bytes) -> None:
        assert read(b"b" + text) == EnginePacket(MESSAGE, data)

    @pytest.mark.parametrize(
        "text",
        [
            *(b"AQ!ID", "éAQID".encode(), b"\0AQID", b"\xff", b"AQ\x0bID", "AQID\xa0".encode()),  # foreign characters
            *(b"AQ==AQID", b"AQI=AQID", b"A=QID", b"=AQID", b"AQ=I", b"AQ=\n=AQ"),  # more behind the padding
            *(b"A", b"A===", b"AQIDx", b"A\n"),  # a lone last character
            *(b"AQ===", b"AQ=\n==", b"===="),  # more padding than there can be
        ],
    )
    def test_damage_is_refused(self, read: Read, text: bytes) -> None:
        with pytest.raises(PacketError):
            read(b"b" + text)

    @given(data=st.binary(), width=st.integers(1, 100), url=st.booleans(), padded=st.booleans(), end=st.booleans())
    def test_any_way_of_writing_it(
        self, read: Read, data: bytes, width: int, url: bool, padded: bool, end: bool
    ) -> None:
        text = urlsafe_b64encode(data) if url else b64encode(data)
        text = text if padded else text.rstrip(b"=")
        lines = [text[i : i + width] for i in range(0, len(text), width)] + [b""] * end
        assert read(b"b" + b"\r\n".join(lines)) == EnginePacket(MESSAGE, data)


@given(st.lists(st.one_of(TEXT, st.binary()), min_size=1))
def test_payload_round_trip(contents: list[str | bytes]) -> None:
    messages = [
        Message(False, content) if isinstance(content, bytes) else Message(True, b"4" + content.encode())
        for content in contents
    ]
    assert list(decode_payload(encode_payload(messages))) == [EnginePacket(MESSAGE, content) for content in contents]


@given(st.binary())
def test_any_bytes_are_packets_or_refused(data: bytes) -> None:
    reads: list[Callable[[], list[EnginePacket]]] = [
        lambda: [decode(Message(True, data))],
        lambda: [*decode_payload(data)],
    ]
    for read in reads:
        try:
            packets = read()
        except PacketError:
            continue
        assert all(packet.type in "0123456" for packet in packets)


def test_open_packet_has_the_reference_servers_keys_in_its_order() -> None:
    packet = engineio.open_packet("x", ["websocket"], 25.0, 20.0, 1_000_000)
    assert packet == Message(
        True,
        b'0{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',
    )
    assert orjson.loads(engineio.open_packet("x", [], 0.3, 0.2, 1).data[1:])["pingInterval"] == 300


@pytest.mark.parametrize(
    ("refusal", "body", "reason"),
    [
        (engineio.UNKNOWN_TRANSPORT, b'{"code":0,"message":"Transport unknown"}', "transport_unknown"),
        (engineio.UNKNOWN_SID, b'{"code":1,"message":"Session ID unknown"}', "session_id_unknown"),
        (engineio.BAD_HANDSHAKE_METHOD, b'{"code":2,"message":"Bad handshake method"}', "bad_handshake_method"),
        (engineio.BAD_REQUEST, b'{"code":3,"message":"Bad request"}', "bad_request"),
        (
            engineio.UNSUPPORTED_VERSION,
            b'{"code":5,"message":"Unsupported protocol version"}',
            "unsupported_protocol_version",
        ),
    ],
)
def test_refusals_are_worded_as_the_reference_server_words_them(
    refusal: engineio.RequestError, body: bytes, reason: str
) -> None:
    assert (refusal.body, refusal.http_status, refusal.reason) == (body, 400, reason)
    assert str(RequestRefused(refusal)) == refusal.message


class TestLong:
    """A long text is handed on as what it came as."""

    @pytest.mark.parametrize("kind", "0123456")
    def test_of_any_kind(self, kind: str) -> None:
        for size in (LONG_TEXT_BYTES, LONG_TEXT_BYTES + 1):
            data = (kind + "é" + "x" * (size - 3)).encode()
            for packet in (decode(Message(True, data)), *decode_payload(data)):
                assert packet.type == kind
                content = packet.data
                if size > LONG_TEXT_BYTES:
                    assert isinstance(content, LongText)
                    assert len(content) == size - 1
                    content = content.begin(10**9)
                assert content == data[1:].decode()

    @pytest.mark.parametrize("body", [b"4\xff" + b"x" * 100_000, b"4" + b"x" * 100_000 + b"\xf0\x9f", b"7" * 100_000])
    def test_what_is_none_is_refused(self, body: bytes) -> None:
        with pytest.raises(PacketError):
            list(decode_payload(body))

"""Socket.IO packets: decoding with attachments, encoding, publications as events."""

from __future__ import annotations

import re
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.protocols.longtext import LongText
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.packets import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    MAX_ATTACHMENTS,
    Decoder,
    ProtocolError,
    SocketPacket,
    encode_acks,
    encode_connect,
    encode_connect_error,
    encode_event,
    encode_text_acks,
)

LIMIT = 1000
PLACEHOLDER = '{"_placeholder":true,"num":0}'


def decode(*messages: str | bytes) -> SocketPacket | None:
    """What the messages are together; all but the last complete nothing."""
    decoder = Decoder(lambda: LIMIT, lambda: LIMIT)
    for message in messages[:-1]:
        assert decoder.add(message) is None
    return decoder.add(messages[-1])


def test_what_is_kept_of_an_incomplete_packet_is_told() -> None:
    decoder = Decoder(lambda: LIMIT, lambda: LIMIT)
    text = f'52-["a",{PLACEHOLDER},{{"_placeholder":true,"num":1}}]'
    sizes = []
    for message in (text, bytes(100), bytes(50), '2["a"]'):
        decoder.add(message)
        sizes.append(decoder.kept_bytes)
    assert len(text) < sizes[0] < len(text) + 500
    assert sizes[1:] == [sizes[0] + sys.getsizeof(bytes(100)), 0, 0]


@pytest.mark.parametrize("chars", [1000, 60_000, 100_000])
@pytest.mark.parametrize("wide", ["", "\U0001f600"])
def test_what_is_told_is_what_it_takes_in_memory(chars: int, wide: str) -> None:
    """One character can make all others take four bytes."""
    decoder = Decoder(lambda: 10**6, lambda: 10**6)
    text = f'51-["a",{PLACEHOLDER},"{wide}{"x" * chars}"]'
    message = text if chars < 65536 else LongText(text.encode(), 0)
    tracemalloc.start()
    try:
        assert decoder.add(message) is None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept - 1000 < decoder.kept_bytes < kept + 1000


@pytest.mark.parametrize("head", ["2", "27", "2/é,7", "2/" + "n" * 254 + ",1234567890123456"])
@pytest.mark.parametrize("wide", ["", "\U0001f600"])
@pytest.mark.parametrize("chars", [20_000, 65_530, 70_000, 300_000])
def test_long_texts_are_packets_like_others(head: str, wide: str, chars: int) -> None:
    decoder = Decoder(lambda: 10**6, lambda: 10**6)
    for name in ("a", "é"):
        long = LongText(f'4{head}["{name}","{wide}{"x" * chars}"]'.encode(), 1)
        short = decode(f'{head}["{name}",""]')
        assert short is not None
        assert decoder.add(long) == short._replace(args=[wide + "x" * chars])


def test_what_has_few_characters_may_have_many_arguments() -> None:
    decoder = Decoder(lambda: 10**6, lambda: 10**6)
    text = "é" * 60_000
    assert decoder.add(LongText(f'2["a",1,"{text}"]'.encode(), 0)) == SocketPacket(
        EVENT, "/", None, "a", [Json("1"), text]
    )
    assert decoder.add(LongText(f'51-["a",{PLACEHOLDER},"{text}"]'.encode(), 0)) is None
    assert decoder.add(b"x") == SocketPacket(EVENT, "/", None, "a", [b"x", text])


@pytest.mark.parametrize("text", ["7{}", '0{"a":"{}"}', "1{}", '51["a","{}"]', '2["connect","{}"]', '51-["a"]{}'])
def test_long_texts_that_are_no_packets(text: str) -> None:
    decoder = Decoder(lambda: 10**6, lambda: 10**6)
    long = LongText(text.replace("{}", "x" * 100_000).encode(), 0)
    with pytest.raises(ProtocolError):
        decoder.add(long)
    assert decoder.add(f'51-["m",{PLACEHOLDER}]') is None
    with pytest.raises(ProtocolError):
        decoder.add(long)


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", SocketPacket(CONNECT, "/", None, "", [])),
        ('0{"token":"123"}', SocketPacket(CONNECT, "/", None, "", [Json('{"token":"123"}')])),
        ("0/custom,", SocketPacket(CONNECT, "/custom", None, "", [])),
        ("0/custom", SocketPacket(CONNECT, "/custom", None, "", [])),
        ("0/custom,{}", SocketPacket(CONNECT, "/custom", None, "", [Json("{}")])),
        ("1", SocketPacket(DISCONNECT, "/", None, "", [])),
        ("1/admin,", SocketPacket(DISCONNECT, "/admin", None, "", [])),
        ('2["OUT","text"]', SocketPacket(EVENT, "/", None, "OUT", ["text"])),
        ('2["OUT"]', SocketPacket(EVENT, "/", None, "OUT", [])),
        ('2["m",1,"2",{"3":[true]}]', SocketPacket(EVENT, "/", None, "m", [Json("1"), "2", Json('{"3":[true]}')])),
        ('212["foo",""]', SocketPacket(EVENT, "/", 12, "foo", [""])),
        ('2/admin,456["m"]', SocketPacket(EVENT, "/admin", 456, "m", [])),
        ("2[5]", SocketPacket(EVENT, "/", None, "5", [])),
        ('2["\\ud800",1]', SocketPacket(EVENT, "/", None, '"\\ud800"', [Json("1")])),
        ("345[]", SocketPacket(ACK, "/", 45, "", [])),
        ('3/admin,13["bar",false]', SocketPacket(ACK, "/admin", 13, "", ["bar", Json("false")])),
        ("30", SocketPacket(ACK, "/", 0, "", [])),
        ("3[]", SocketPacket(ACK, "/", None, "", [])),
        ("3", SocketPacket(ACK, "/", None, "", [])),
        ("01", SocketPacket(CONNECT, "/", None, "", [])),
        ('00{"a":1}', SocketPacket(CONNECT, "/", None, "", [Json('{"a":1}')])),
        ("0/custom,5{}", SocketPacket(CONNECT, "/custom", None, "", [Json("{}")])),
        ("10", SocketPacket(DISCONNECT, "/", None, "", [])),
        ('50-["x",1]', SocketPacket(EVENT, "/", None, "x", [Json("1")])),
    ],
)
def test_packets_of_one_message(text: str, packet: SocketPacket) -> None:
    assert decode(text) == packet


def test_binary_packets_are_put_together() -> None:
    two = '{"_placeholder":true,"num":1}'
    assert decode(f'52-["m",{two},{PLACEHOLDER},"t"]', b"\x00", b"\x01") == SocketPacket(
        EVENT, "/", None, "m", [b"\x01", b"\x00", "t"]
    )
    assert decode(f'51-/a,9["m",{PLACEHOLDER}]', b"") == SocketPacket(EVENT, "/a", 9, "m", [b""])
    assert decode(f"61-[{PLACEHOLDER}]", b"x") == SocketPacket(ACK, "/", None, "", [b"x"])
    assert decode("61-15", b"x") == SocketPacket(ACK, "/", 15, "", [])
    assert decode(f"61-15[{PLACEHOLDER}]", b"x") == SocketPacket(ACK, "/", 15, "", [b"x"])


def test_a_decoder_goes_on_after_a_binary_packet() -> None:
    decoder = Decoder(lambda: LIMIT, lambda: LIMIT)
    for expected in (b"first", b"second"):
        assert decoder.add(f'51-["m",{PLACEHOLDER}]') is None
        assert decoder.add(expected) == SocketPacket(EVENT, "/", None, "m", [expected])
    assert decoder.add("1") == SocketPacket(DISCONNECT, "/", None, "", [])


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "abc", "٢[]", "2", "2{}", "2[]", "2[{}]", "2[[1]]", '2["x"', '2["x"]y', "2[NaN]", '2"x"'),
        *('2abc["m",1]', '2-1["m"]', '21-["m"]', '2/admin["m"]', f'2{"1" * 17}["m"]'),
        *("0[]", "0null", "0{", '0{}{"a":1}', "0{},{}", "01[]", "1{}", '1["x"]', '11{"x":1}'),
        *("3{}", "31{}", "31[", '4{"message":"x"}'),
        *('5["m"]', '5-["m"]', f'51["m",{PLACEHOLDER}]', f"61-[{PLACEHOLDER}1]", f'50-["m",{PLACEHOLDER}]'),
        f'5{MAX_ATTACHMENTS + 1}-["m"]',
        *(f'2["{name}"]' for name in ("connect", "connect_error", "disconnect", "disconnecting")),
        *(f'51-["{name}",{PLACEHOLDER}]' for name in ("newListener", "removeListener")),
    ],
)
def test_what_is_no_packet_of_a_client_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode(text)


def test_attachments_out_of_place_are_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(b"x")
    with pytest.raises(ProtocolError):
        decode(f'51-["m",{PLACEHOLDER}]', '2["m"]')


def test_attachments_count_towards_the_packet() -> None:
    header = f'52-["m",{PLACEHOLDER}]'
    assert decode(header, b"", bytes(LIMIT - len(header))) is not None
    with pytest.raises(ProtocolError):
        decode(header, bytes(LIMIT - len(header) + 1))
    with pytest.raises(ProtocolError):
        decode(header, b"1", bytes(LIMIT - len(header)))


@given(st.lists(st.one_of(st.text(), st.binary(), st.from_regex(r"[0-6]([0-9]-)?(/a,)?[0-9]?[\[{].*", fullmatch=True))))
def test_any_messages_are_packets_or_refused(messages: list[str | bytes]) -> None:
    decoder = Decoder(lambda: LIMIT, lambda: LIMIT)
    for message in messages:
        try:
            packet = decoder.add(message)
        except ProtocolError:
            break
        assert packet is None or packet.type in (CONNECT, DISCONNECT, EVENT, ACK)


ARGUMENTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.sampled_from([Json("1.0"), Json('{"a":[1,{}]}'), Json("null")]),
    ),
    max_size=5,
)


def told(text: str) -> SocketPacket | str | None:
    try:
        return decode(text)
    except ProtocolError as error:
        return str(error)


@given(
    st.lists(
        st.sampled_from(["2", '["', "a", "ä", "\\", '\\u0041"', '"', '",', ",", "]", " ", "1", "{}", "[", "NaN", "/x,"])
        | st.sampled_from(["disconnect", "\ud800", "\\ud800", "\x1f", '"text"', '{"a":[1.0]}', "[" * 100_000, "-"])
        | st.characters(codec=None),
        max_size=8,
    ),
    st.sampled_from(["", '2["a",', '27["OUT","']),
)
def test_the_short_way_of_plain_events_is_none_apart(parts: list[str], head: str) -> None:
    text = head + "".join(parts)
    short = told(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsgw.protocols.socketio.packets._PLAIN_EVENT", re.compile("(?!)"))
        assert told(text) == short


def received(item: Encoded) -> SocketPacket | None:
    """What a peer reads; all messages are Engine.IO messages."""
    return decode(*(message.data[1:].decode() if message.text else message.data for message in item.messages))


@given(ARGUMENTS, st.integers(0, 10**15), st.sampled_from(["/", "/admin"]))
def test_events_and_acks_round_trip(args: list[Argument], id: int, namespace: str) -> None:
    event = encode_event(namespace, "näme", args)
    assert all(message.text is (i == 0) for i, message in enumerate(event.messages))
    assert received(event) == SocketPacket(EVENT, namespace, None, "näme", args)
    assert [received(item) for item in encode_acks(namespace, [id, 7], args)] == [
        SocketPacket(ACK, namespace, id, "", args),
        SocketPacket(ACK, namespace, 7, "", args),
    ]
    texts = encode_text_acks(namespace, [id, 7], args)
    if any(isinstance(arg, bytes) for arg in args):
        assert texts is None
    else:
        assert texts == [message for item in encode_acks(namespace, [id, 7], args) for message in item.messages]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (encode_event("/", "auth", [Json("{}")]), b'42["auth",{}]'),
        (encode_event("/custom", "m", ["x"]), b'42/custom,["m","x"]'),
        (encode_event("/", "m", [b"1", b"2"]), None),
        (encode_acks("/", [456], [Json("1"), "2"])[0], b'43456[1,"2"]'),
        (encode_connect("/", "s"), b'40{"sid":"s"}'),
        (encode_connect("/custom", "s"), b'40/custom,{"sid":"s"}'),
        (encode_connect_error("/random", "Invalid namespace", None), b'44/random,{"message":"Invalid namespace"}'),
        (encode_connect_error("/", "no", Json('{"c":1.0}')), b'44{"message":"no","data":{"c":1.0}}'),
    ],
)
def test_encoding_as_the_protocol_shows_it(item: Encoded, text: bytes | None) -> None:
    if text is None:
        header = b'452-["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assert item.messages == (Message(True, header), Message(False, b"1"), Message(False, b"2"))
    else:
        assert item.messages == (Message(True, text),)

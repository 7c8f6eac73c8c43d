"""Engine.IO's packets and payloads, Socket.IO's packets, and what a client that comes back says."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Target, plain
from wsgw.fanout.frames import Message, is_utf8
from wsgw.protocols.engineio.packets import PacketError, decode, decode_payload
from wsgw.protocols.longtext import LONG_TEXT_BYTES, LongText
from wsgw.protocols.socketio.arguments import ArgumentError, Json, Oversized
from wsgw.protocols.socketio.longarguments import split_long, split_long_binary
from wsgw.protocols.socketio.packets import Decoder, ProtocolError, SocketPacket, encode_acks, encode_event
from wsgw.protocols.socketio.recovery import returning

MAX_PACKET_BYTES = 4000
MAX_VALUE_BYTES = 300
_SEPARATOR = b"\x1e"
_FILLER = b"x" * LONG_TEXT_BYTES


def engineio(data: bytes) -> None:
    for text in (True, False):
        if not text or is_utf8(data):
            with suppress(PacketError):
                decode(Message(text, data))
    with suppress(PacketError):
        count = sum(1 for _ in decode_payload(data))
        assert count <= len(data) + 1


def check(packet: SocketPacket) -> None:
    """It can be counted, and sent on."""
    assert packet.memory_bytes > 0
    assert packet.id is None or packet.id >= 0
    if any(isinstance(arg, Oversized) for arg in packet.args):
        return
    sent = [*encode_event(packet.namespace, packet.name, packet.args).messages]
    for ack in encode_acks(packet.namespace, [1], packet.args):
        sent.extend(ack.messages)
    assert all(is_utf8(data) for text, data in sent if text)


def socketio(data: bytes) -> None:
    decoder = Decoder(lambda: MAX_PACKET_BYTES, lambda: MAX_VALUE_BYTES)
    for part in data.split(_SEPARATOR):
        try:
            if part[:1] == b"b":
                packet = decoder.add(part[1:])
            elif is_utf8(part):
                packet = decoder.add(part.decode())
            else:
                continue
        except ProtocolError:
            return
        assert decoder.kept_bytes >= 0
        if packet is not None:
            check(packet)


def long(data: bytes) -> None:
    """As those of a packet that is too long for a scanner of JSON: it is made one in the middle."""
    if not data or not is_utf8(data):
        return
    with suppress(ArgumentError):
        for arg in split_long(LongText(data, 0), MAX_VALUE_BYTES):
            assert isinstance(arg, Oversized) or len(arg if isinstance(arg, str | bytes) else arg.raw) <= len(data)
    with suppress(ArgumentError):
        split_long_binary(LongText(data, 0))
    half = len(data) // 2
    longer = data[:half] + _FILLER + data[half:]
    if is_utf8(longer):
        decoder = Decoder(lambda: 2 * LONG_TEXT_BYTES, lambda: LONG_TEXT_BYTES)
        with suppress(ProtocolError):
            packet = decoder.add(LongText(longer, 0))
            if packet is not None:
                check(packet)


def recovery(data: bytes) -> None:
    if not is_utf8(data):
        return
    found = returning(Json(data.decode()))
    if found is not None:
        assert all(isinstance(at, int) and at >= 0 for at in found.after.values())
        assert all(isinstance(name, str) for name in (*found.joined, *found.left))


WORDS = (
    *(
        b'["',
        b'"]',
        b'",',
        b'{"_placeholder":true,"num":0}',
        b"51-",
        b"61-",
        b"2",
        b"0",
        b"1",
        b"3",
        b"4",
        b"6",
        b"/n,",
    ),
    *(b"\\u0000", b"\\ud800", b"\\udc00", b"\\\\", b"\x1e", b"b", b"bAAAA", b"[", b"]", b"{", b"}", b"null", b"1e999"),
    *(b"-", b"NaN", b"2probe", b"5", b"9999999999999999", b'"pid":"', b'"offset":"', b"1.", b"~", b'"__proto__"'),
)

TARGETS = (
    Target("engineio", plain(engineio), (b"4hello\x1ebAQID\x1e2probe", b'42["IN","x"]\x1e3', b"0"), WORDS),
    Target(
        "socketio",
        plain(socketio),
        (
            b'2["IN","hello"]\x1e21["OUT",{"a":[1,2.50]}]\x1e0{"pid":"x"}',
            b'51-/n,7["OUT",{"_placeholder":true,"num":0}]\x1eb\x00\x01\x1e1/n,',
            b'40{"token":"a.b.c","pid":"ab~1.cd-5","offset":"1.cd-9"}',
            b'2["wsgw:subscribe","chat.room1"]\x1e61-7["x"]',
        ),
        WORDS,
    ),
    Target(
        "socketio-long",
        plain(long),
        (b'["IN","hello"]', b'2["IN", {"a":"\xc3\xa9"} ]', b'["a",-1.5e3]'),
        WORDS,
        share=0.1,
    ),
    Target(
        "recovery",
        plain(recovery),
        (
            b'{"pid":"abc~1.cd-5","offset":"1.cd-9~W1siYSJdLFsiYiJdXQ"}',
            b'{"pid":"abc~1.cd-5.ef-1","offset":""}',
            b'{"token":"x"}',
        ),
        WORDS,
    ),
)

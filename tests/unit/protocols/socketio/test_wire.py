"""Publications as events, in each way that clients ask for."""

from __future__ import annotations

import json

import pytest

from helpers.fanout import IN
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.protocols.socketio.packets import EVENT, Decoder, SocketPacket, encode_event
from wsgw.protocols.socketio.wire import (
    RECOVERY_ENVELOPE_WIRE,
    RECOVERY_WIRE,
    SOCKETIO_ENVELOPE_WIRE,
    SOCKETIO_WIRE,
    SocketIOWire,
)

PLACEHOLDER = '{"_placeholder":true,"num":0}'
POSITION = "1.0123456789-5"


def stored(payload: bytes) -> StreamPublication:
    return StreamPublication(Publication("IN", payload, 0.0), "0123456789", 5, 0)


@pytest.mark.parametrize("payload", [b"", b"text", b'{"a":1}', 'é"\\\0\x1e😀'.encode(), b"\xef\xbb\xbfbom"])
def test_utf8_publications_are_one_string(payload: bytes) -> None:
    (message,) = SOCKETIO_WIRE.encode(IN, "IN", Publication("IN", payload, 0.0)).messages
    assert b"\x1e" not in message.data  # it would end the packet in a polling payload
    packet = Decoder(lambda: 1000, lambda: 1000).add(message.data[1:].decode())
    assert packet == SocketPacket(EVENT, "/", None, "IN", [payload.decode()])


def test_other_publications_are_one_binary() -> None:
    item = SOCKETIO_WIRE.encode(IN, "IN", Publication("IN", b"\xff\x00", 0.0))
    assert item.messages == (Message(True, f'451-["IN",{PLACEHOLDER}]'.encode()), Message(False, b"\xff\x00"))


def test_names_are_remembered_within_bounds() -> None:
    wire = SocketIOWire()
    for i in range(5000):
        item = wire.encode(IN, f"n{i}", Publication("s", b"x", 0.0))
        assert item.messages[0].data == b'42["n%d","x"]' % i
    assert len(wire._heads) < 5000


def test_an_envelope_is_one_object() -> None:
    for payload, said in ((b"text", {"text": "text"}), (b"\xff", {"base64": "/w=="})):
        (message,) = SOCKETIO_ENVELOPE_WIRE.encode(IN, "IN", stored(payload)).messages
        name, envelope = json.loads(message.data[2:])
        assert name == "IN"
        assert envelope.items() >= {"id": POSITION, "subject": "IN", **said}.items()


def test_the_last_argument_says_the_position() -> None:
    item = RECOVERY_WIRE.encode(IN, "IN", stored(b"text"))
    assert item.sequence == 5
    assert RECOVERY_WIRE.encode(IN, "IN", Publication("IN", b"x", 0.0)).sequence is None
    (message,) = RECOVERY_WIRE.stamp(item, POSITION).messages
    assert message.data == b'42["IN","text","%b"]' % POSITION.encode()
    item = RECOVERY_WIRE.encode(IN, "IN", stored(b"\xff"))
    head = f'451-["IN",{PLACEHOLDER},"{POSITION}"]'.encode()
    assert RECOVERY_WIRE.stamp(item, POSITION).messages == (Message(True, head), Message(False, b"\xff"))
    (message,) = RECOVERY_ENVELOPE_WIRE.stamp(RECOVERY_ENVELOPE_WIRE.encode(IN, "IN", stored(b"x")), "1").messages
    assert json.loads(message.data[2:])[1]["text"] == "x"
    assert json.loads(message.data[2:])[2] == "1"


def test_events_of_the_gateway_say_it_too() -> None:
    (message,) = RECOVERY_WIRE.stamp(encode_event("/", "wsgw:gap", []), "1").messages
    assert message.data == b'42["wsgw:gap","1"]'

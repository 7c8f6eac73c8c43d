"""Frames as a client reads them, through the client half of websockets' sans-I/O parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from wsgw.fanout.frames import Message, encode

messages = st.builds(Message, st.just(False), st.binary(max_size=300)) | st.builds(
    Message, st.just(True), st.text().map(str.encode)
)


def read(data: bytes) -> list[Message]:
    client = ClientProtocol(parse_uri("ws://x/"), state=OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    found = []
    for frame in client.events_received():
        assert isinstance(frame, Frame)
        assert frame.fin
        assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)
        found.append(Message(frame.opcode is Opcode.TEXT, bytes(frame.data)))
    return found


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 65537, 2**20])
def test_every_length_class(length: int, text: bool) -> None:
    message = Message(text, b"x" * length)
    frame = encode(message)
    assert len(frame) - length == (2 if length < 126 else 4 if length < 65536 else 10)  # the shortest form
    assert read(frame) == [message]


@given(st.lists(messages))
def test_round_trip(sent: list[Message]) -> None:
    assert read(b"".join(map(encode, sent))) == sent

"""Frames as a client reads them, through the client half of websockets' sans-I/O parser."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from wsgw.fanout.frames import Message, encode, is_utf8

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


@pytest.mark.parametrize("before", [0, 1, 2, 3, 65533, 65535, 65536, 70_000])
def test_utf8_is_known(before: int) -> None:
    for data in ("x" * before + "é€😀" * 30_000, "x" * before, "x" * before + "😀"):
        assert is_utf8(data.encode())
        for broken in (b"\xff", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\x80"):
            assert not is_utf8(data.encode() + broken)
            assert not is_utf8(broken + data.encode())


def test_to_know_it_takes_no_memory() -> None:
    """As str it would be four times as large."""
    data = "😀".encode() + b"x" * 10**6
    tracemalloc.start()
    try:
        assert is_utf8(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(data)

"""What parts of websockets, nats-py, json and asyncio do that our code rests on though they are not public.

A failure here means that a library changed inside: look at our file named in the message before the pin in
gateway/pyproject.toml moves. That the parts are there is test_pins.py's to say, for uvicorn see
test_pinned_uvicorn.py.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
from collections.abc import Callable
from json.scanner import make_scanner
from typing import Any, cast

import pytest
from nats.aio.client import Client
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from helpers.pinned import ARGUMENTS, CLIENT, CONNECTION, DIRECT, FRAMES, STREAM

# -- websockets


def opened() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=100)


def sent(*frames: Frame) -> bytes:
    return b"".join(frame.serialize(mask=True) for frame in frames)


TEXT = Frame(Opcode.TEXT, b"x")


def test_the_echo_of_a_close_and_the_end_of_stream_are_the_last_two_writes() -> None:
    """``data_received`` holds the closing handshake back by leaving them out."""
    conn = opened()
    conn.receive_data(sent(Frame(Opcode.PING, b"p"), TEXT, Frame(Opcode.CLOSE, Close(1000, "").serialize())))
    assert [event.opcode for event in conn.events_received()] == [Opcode.PING, Opcode.TEXT, Opcode.CLOSE]  # type: ignore[union-attr]
    writes = conn.data_to_send()
    assert writes[:-2] == [Frame(Opcode.PONG, b"p").serialize(mask=False)], DIRECT
    assert writes[-2:] == [Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=False), b""], DIRECT
    assert conn.close_rcvd_then_sent is True, DIRECT
    assert conn.state is State.CLOSING, DIRECT


@pytest.mark.parametrize(
    ("data", "code"),
    [(sent(Frame(Opcode.CONT, b"")), 1002), (sent(Frame(Opcode.TEXT, bytes(101))), 1009), (b"\x81\x00", 1002)],
)
def test_what_came_before_a_violation_is_still_an_event(data: bytes, code: int) -> None:
    conn = opened()
    conn.receive_data(sent(TEXT) + data)
    assert len(conn.events_received()) == 1, DIRECT
    assert conn.parser_exc is not None, DIRECT
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == code, DIRECT
    assert conn.data_to_send()[-1] == b"", DIRECT


def test_text_is_not_validated_by_the_library() -> None:
    """``_message_received`` does it, for whole messages."""
    conn = opened()
    conn.receive_data(sent(Frame(Opcode.TEXT, b"\xff")))
    assert len(conn.events_received()) == 1, DIRECT
    assert conn.parser_exc is None, DIRECT


def test_the_limit_of_a_message_can_be_changed_while_open() -> None:
    conn = opened()
    conn.max_message_size = 2
    conn.receive_data(sent(Frame(Opcode.BINARY, b"ab", False), Frame(Opcode.CONT, b"c")))
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == 1009, DIRECT


def test_a_new_parser_of_an_open_connection_begins_with_frames() -> None:
    conn = opened()
    conn.parser = conn.parse()
    next(conn.parser)
    conn.receive_data(sent(TEXT))
    assert len(conn.events_received()) == 1, DIRECT


@pytest.mark.parametrize("data", [b"", b"x", b"abcdefgh"])
def test_masks(data: bytes) -> None:
    expected = bytes(byte ^ b"\x01\x02\x03\x04"[at % 4] for at, byte in enumerate(data))
    assert apply_mask(data, b"\x01\x02\x03\x04") == expected, FRAMES
    if importlib.util.find_spec("websockets.speedups") is not None:
        from websockets.speedups import apply_mask as fast

        assert fast(data, b"\x01\x02\x03\x04") == expected, FRAMES


# -- nats-py


def test_the_library_numbers_its_subscriptions_from_the_count_that_listen_takes_from() -> None:
    source = inspect.getsource(Client.subscribe)
    taken = source.index("self._sid += 1\n        sid = self._sid")
    assert "await" not in source[:taken], f"the number is taken after a wait; {CLIENT}"


def test_the_flusher_writes_what_is_pending_for_any_kick() -> None:
    source = inspect.getsource(Client._flusher)
    assert "await self._flush_queue.get()" in source, CLIENT
    assert "self._transport.writelines(self._pending[:])" in source, CLIENT


def test_the_read_loop_is_started_when_the_greeting_is_over_and_reads_all_that_follows() -> None:
    source = inspect.getsource(Client._process_connect_init)
    assert "create_task(self._read_loop())" in source, CLIENT
    assert "readline()" not in source[source.index("_read_loop()") :], CLIENT
    assert "await self._ps.parse(b)" in inspect.getsource(Client._read_loop), CLIENT


def test_subscriptions_stand_under_their_numbers() -> None:
    """``_expects`` looks there."""
    assert "self._subs[sid] = sub" in inspect.getsource(Client.subscribe), CLIENT


def test_nothing_pending_is_nothing_written_at_the_close() -> None:
    source = inspect.getsource(Client._close)
    assert "if self._pending_data_size > 0:" in source[: source.index("writelines(")], CLIENT


def test_no_limit_of_what_is_pending_is_no_wait() -> None:
    """``pending_size=-1``."""
    assert "if self._max_pending_size > 0 and " in inspect.getsource(Client._send_command), CONNECTION


# -- asyncio and json


async def test_a_read_of_what_is_there_does_not_wait() -> None:
    """``_read_now``."""
    reader = asyncio.StreamReader()
    reader.feed_data(b"abc")
    with pytest.raises(StopIteration) as done:
        reader.read(2**20).send(None)
    assert done.value.value == b"abc", STREAM
    waiting = reader.read(2**20)
    assert asyncio.isfuture(waiting.send(None)), STREAM
    waiting.close()
    reader.feed_eof()
    with pytest.raises(StopIteration) as done:
        reader.read(2**20).send(None)
    assert done.value.value == b"", STREAM


def test_the_scanner_of_json_says_where_a_value_ends() -> None:
    def refuse(name: str) -> None:
        raise LookupError(name)

    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=refuse, object_hook=sorted)
    scan = cast("Callable[[str, int], tuple[Any, int]]", make_scanner(decoder))  # type: ignore[arg-type]
    assert scan('[1,"é" ,{}]', 3) == ("é", 6), ARGUMENTS
    assert scan("12 ", 0) == ("12", 2), ARGUMENTS
    assert scan("1e5,", 0) == ("1e5", 3), ARGUMENTS
    assert scan('{"b":1,"a":[]}x', 0) == (["a", "b"], 14), ARGUMENTS
    for nothing in (",", " 1", ""):
        with pytest.raises(StopIteration) as stopped:
            scan(nothing, 0)
        assert stopped.value.value == 0, ARGUMENTS
    for half in ('"a', '{"a"', "[1"):
        with pytest.raises((ValueError, StopIteration)):
            scan(half, 0)
    with pytest.raises(LookupError):
        scan("NaN", 0)

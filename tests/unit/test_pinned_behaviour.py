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
import re
from collections.abc import Callable
from json.scanner import make_scanner
from typing import Any, cast

import pytest
from nats.aio.client import Client
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from helpers.pinned import ARGUMENTS, CLOSING, DIRECT, FRAMES, HANDSHAKE, STREAM

# -- websockets


def opened() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=100)


def sent(*frames: Frame) -> bytes:
    return b"".join(frame.serialize(mask=True) for frame in frames)


TEXT = Frame(Opcode.TEXT, b"x")


def resumed(current_size: int | None = None) -> ServerProtocol:
    """As the first frame that the library is given finds it: with a new parser, and maybe within a message."""
    conn = opened()
    del conn.parser
    conn.current_size = current_size
    conn.parser = conn.parse()
    next(conn.parser)
    return conn


def test_a_close_is_received() -> None:
    conn = resumed()
    conn.receive_data(sent(Frame(Opcode.CLOSE, Close(1000, "").serialize())) + b"late")
    assert conn.close_rcvd == Close(1000, ""), DIRECT
    assert conn.parser_exc is None, DIRECT
    assert conn.state is State.CLOSING, f"and {CLOSING}: not OPEN says that it was"
    assert len(conn.reader.buffer) in (0, 4), DIRECT


@pytest.mark.parametrize(
    ("data", "size", "code"),
    [
        (sent(Frame(Opcode.CONT, b"")), None, 1002),
        (sent(TEXT), 0, 1002),
        (sent(Frame(Opcode.CONT, b"x")), 100, 1009),
        (sent(Frame(Opcode.CLOSE, b"")), 0, 1002),
        (sent(Frame(Opcode.TEXT, bytes(101))), None, 1009),
        (b"\x81\x00", None, 1002),
    ],
    ids=["continuation", "no room", "too long", "empty close", "too long at once", "not masked"],
)
def test_what_ends_it(data: bytes, size: int | None, code: int) -> None:
    conn = resumed(size)
    conn.receive_data(data)
    assert conn.events_received() == [], DIRECT
    assert conn.parser_exc is not None, DIRECT
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == code, DIRECT
    assert conn.data_to_send()[-1] == b"", DIRECT


def test_the_limit_of_a_message_can_be_changed_while_open() -> None:
    conn = resumed()
    conn.max_message_size = 2
    conn.receive_data(sent(Frame(Opcode.BINARY, b"abc")))
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == 1009, DIRECT


def test_it_can_be_failed_without_a_parser() -> None:
    conn = opened()
    del conn.parser
    conn.fail(1008, "why")
    assert conn.data_to_send() == [Frame(Opcode.CLOSE, Close(1008, "why").serialize()).serialize(mask=False), b""], (
        DIRECT
    )


@pytest.mark.parametrize("data", [b"", b"x", b"abcdefgh"])
def test_masks(data: bytes) -> None:
    expected = bytes(byte ^ b"\x01\x02\x03\x04"[at % 4] for at, byte in enumerate(data))
    assert apply_mask(data, b"\x01\x02\x03\x04") == expected, FRAMES
    if importlib.util.find_spec("websockets.speedups") is not None:
        from websockets.speedups import apply_mask as fast

        assert fast(data, b"\x01\x02\x03\x04") == expected, FRAMES


# -- nats-py


def test_what_we_leave_out_begins_when_the_greeting_is_over() -> None:
    source = inspect.getsource(Client._process_connect_init)
    over = source.index("create_task(self._read_loop())")
    assert "await" not in source[over:], f"something is waited for after the greeting; {HANDSHAKE}"
    assert {"_ping_interval", "_flusher"} <= set(re.findall(r"create_task\(self\.(\w+)\(", source[over:])), HANDSHAKE


def test_what_a_server_says_is_looked_at_before_it_is_used() -> None:
    """Of what stands before, only that it is an object."""
    source = inspect.getsource(Client._process_connect_init)
    asked = source.index("await self._process_info(srv_info, initial_connection=True)")
    assert asked < source.index('self._server_info["max_payload"]'), HANDSHAKE
    assert asked < source.index("self._connect_command()"), HANDSHAKE


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

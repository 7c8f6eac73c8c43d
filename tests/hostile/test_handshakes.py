"""WebSocket handshakes that are large, wrong or in a hurry: each is answered, and none is forgotten."""

from __future__ import annotations

import pytest
from websockets.frames import Opcode

from helpers.raw import frame
from hostile.sockets import HANDSHAKE_HEADERS, Target, read_all, read_until, send

WRONG = {
    "a large cookie": b"GET /ws/ECHO HTTP/1.1\r\n%bCookie: %b\r\n\r\n" % (HANDSHAKE_HEADERS, b"a" * 9000),
    "a long path": b"GET /ws/ECHO?%b HTTP/1.1\r\n%b\r\n" % (b"a" * 9000, HANDSHAKE_HEADERS),
    "130 headers": b"GET /ws/ECHO HTTP/1.1\r\n%b%b\r\n" % (HANDSHAKE_HEADERS, b"X: a\r\n" * 130),
    "POST": b"POST /ws/ECHO HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS,
    "POST with a body": b"POST /ws/ECHO HTTP/1.1\r\n%bContent-Length: 2\r\n\r\nhi" % HANDSHAKE_HEADERS,
    "a body": b"GET /ws/ECHO HTTP/1.1\r\n%bContent-Length: 2\r\n\r\nhi" % HANDSHAKE_HEADERS,
    "chunks": b"GET /ws/ECHO HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % HANDSHAKE_HEADERS,
    "another version": b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS.replace(b"13", b"8"),
    "no key": b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS.replace(b"Key", b"Kex"),
    "two keys": b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n" % (HANDSHAKE_HEADERS + b"Sec-WebSocket-Key: dGhl\r\n"),
    "HTTP/1.0": b"GET /ws/ECHO HTTP/1.0\r\n%b\r\n" % HANDSHAKE_HEADERS,
    "h2c": b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS.replace(b"websocket", b"h2c"),
    "two protocols": b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS.replace(b"websocket", b"h2c, websocket"),
    "the Socket.IO path": b"GET /socket.io/?EIO=4&transport=websocket&%b HTTP/1.1\r\n%b\r\n"
    % (b"a" * 9000, HANDSHAKE_HEADERS),
}


@pytest.mark.parametrize("what", WRONG)
async def test_each_is_answered(target: Target, what: str) -> None:
    status = await target.ask(WRONG[what], 20)
    assert status is not None
    assert status < 500, status


ECHOED = frame(Opcode.TEXT, b"at once")


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("frames", [1, 50])
async def test_frames_with_the_handshake(target: Target, frames: int, parts: int) -> None:
    """In one segment, or with the head's end in the one behind it: they count as if they came later."""
    request = b"GET /ws/chat.hasty HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS + ECHOED * frames
    with await target.connect() as made:
        at = len(request) - len(ECHOED) * frames - 2 if parts == 2 else len(request)
        await send(made, request[:at])
        await send(made, request[at:])
        answer = await read_until(made, *[b"at once"] * frames)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.count(b"at once") == frames


async def test_a_close_with_the_handshake(target: Target) -> None:
    request = b"GET /ws/OUT HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS
    with await target.connect() as made:
        await send(made, request + frame(Opcode.TEXT, b"x") + frame(Opcode.CLOSE, (1000).to_bytes(2, "big")))
        answer = await read_all(made, 20)
    assert answer is not None
    assert answer.endswith(b"\x88\x02\x03\xe8")


async def test_a_connect_with_the_handshake(target: Target) -> None:
    request = b"GET /socket.io/?EIO=4&transport=websocket&channels=IN HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS
    with await target.connect() as made:
        await send(made, request + frame(Opcode.TEXT, b"40") + frame(Opcode.TEXT, b'427["OUT","x"]'))
        answer = await read_until(made, b"437[")
    assert b"437[" in answer

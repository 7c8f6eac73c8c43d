"""Heads of requests without an end: what an attacker sends before its request is understood."""

from __future__ import annotations

import asyncio
import socket

from hostile.attack import Seen
from hostile.sockets import HANDSHAKE_HEADERS, Target, ended, pour, read_all, send, status

_LONG_SECONDS = 3600.0
ENDLESS = {
    "header line": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 1024),
    "headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X-Some: header\r\n"),
    "URL": (b"GET /healthz?", b"a" * 1024),
    "method": (b"", b"A" * 1024),
    "trailers": (
        b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"X-Some: trailer\r\n",
    ),
    "chunk extension": (
        b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"a" * 1024,
    ),
    "handshake's header line": (b"GET /ws/ECHO HTTP/1.1\r\n%bCookie: " % HANDSHAKE_HEADERS, b"a" * 1024),
    "handshake's headers": (b"GET /ws/ECHO HTTP/1.1\r\n%b" % HANDSHAKE_HEADERS, b"X-Some: header\r\n"),
}


async def endless(target: Target, *, what: list[str], size: int, seconds: float) -> Seen:
    """Heads of ``size`` bytes, one of each kind at once; the answers, and how many bytes were taken."""
    deadline = asyncio.get_running_loop().time() + seconds

    async def one(name: str) -> tuple[int, str]:
        begin, unit = ENDLESS[name]
        with await target.connect() as made:
            answer = asyncio.create_task(_status(made))
            await send(made, begin)
            taken = await pour(made, unit, size, deadline)
            if not answer.done():
                await asyncio.wait([answer], timeout=2)
            if answer.done():
                return taken, answer.result()
            await ended(answer)
            return taken, "none, open"

    results = dict(zip(what, await asyncio.gather(*map(one, what)), strict=True))
    return {
        "taken": {name: taken for name, (taken, _) in results.items()},
        "answers": {name: answer for name, (_, answer) in results.items()},
    }


async def kept(target: Target, *, sessions: int, size: int) -> Seen:
    """Polling handshakes with a header of ``size`` bytes each, and no CONNECT behind them; how many were taken."""
    request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: %b\r\n\r\n"
    request %= b"a" * size
    statuses = [await target.ask(request) for _ in range(sessions)]
    return {"statuses": {str(code): statuses.count(code) for code in set(statuses)}}


async def to_nothing(target: Target, *, paths: list[str], size: int, seconds: float) -> Seen:
    """Bodies of ``size`` bytes, in chunks, to paths that take none; what they are answered, how much was taken."""
    deadline = asyncio.get_running_loop().time() + seconds
    chunk = b"10000\r\n%b\r\n" % bytes(0x10000)

    async def one(path: str) -> tuple[int, bytes | None]:
        with await target.connect() as made:
            answer = asyncio.create_task(read_all(made, seconds + 5))
            await send(made, f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            taken = await pour(made, chunk, size, deadline)
            if taken == size:  # it was all taken: the answer may come, but no end
                answer.cancel()
                return taken, b""
            return taken, await answer

    results = dict(zip(paths, await asyncio.gather(*map(one, paths)), strict=True))
    return {
        "taken": sum(taken for taken, _ in results.values()),
        "answers": {path: (answer or b"")[9:12].decode() for path, (_, answer) in results.items()},
    }


async def _status(of: socket.socket) -> str:
    return str(await status(of, _LONG_SECONDS) or "none, ended")

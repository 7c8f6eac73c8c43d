"""Connections that are held open with as little as possible."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from hostile.attack import Seen
from hostile.sockets import HANDSHAKE_HEADERS, Target, read_all, reset, send

BEGINNINGS = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHo",
    "half a handshake": b"GET /ws/OUT HTTP/1.1\r\n" + HANDSHAKE_HEADERS,
    "no body": b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
    "half a body": b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
    "half a chunk": b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nx",
}
DRIPS = {
    "a head": (b"GET /healthz HTTP/1.1\r\nX: ", b"a"),
    "a handshake": (b"GET /ws/OUT HTTP/1.1\r\n%bCookie: " % HANDSHAKE_HEADERS, b"a"),
    "a body": (b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "empty lines": (b"", b"\r\n"),
}


async def hold(target: Target, *, beginnings: list[str], each: int, seconds: float) -> Seen:
    """``each`` connections of every beginning, for so many seconds at most; how many the gateway ended, with what."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    tallies: dict[str, dict[str, int]] = {name: {} for name in beginnings}

    async def one(name: str) -> None:
        answer = "not connected"
        with suppress(OSError), await target.connect() as made:
            await send(made, BEGINNINGS[name])
            read = await read_all(made, deadline - loop.time())
            answer = "open" if read is None else (read[9:12].decode() or "closed")
        tallies[name][answer] = tallies[name].get(answer, 0) + 1

    await asyncio.gather(*(one(name) for name in beginnings for _ in range(each)))
    return dict(tallies)


async def drip(target: Target, *, what: list[str], interval: float, seconds: float) -> Seen:
    """One connection of each kind, a byte every ``interval`` seconds; after how many seconds each ended, or None."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds

    async def one(name: str) -> float | None:
        begin, unit = DRIPS[name]
        began = loop.time()
        with await target.connect() as made:
            reading = asyncio.create_task(read_all(made, seconds))
            with suppress(OSError):
                await send(made, begin)
                while loop.time() < deadline and not reading.done():
                    await send(made, unit)
                    await asyncio.wait([reading], timeout=interval)
            answer = await reading
            return None if answer is None else loop.time() - began

    return dict(zip(what, await asyncio.gather(*map(one, what)), strict=True))


async def resets(target: Target, *, rounds: int) -> Seen:
    """A reset in the middle of everything: heads, bodies, handshakes, answers, frames, polls."""
    polling = (await target.polling()).encode()
    stages = [
        *BEGINNINGS.values(),
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % polling,
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n42" % polling,
        b"POST /request/silent HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
        b"GET /ws/IN HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS,
        b"GET /ws/ECHO HTTP/1.1\r\n%b\r\n\x81\xff" % HANDSHAKE_HEADERS,
        b"GET /ws/chat.reset HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS,
        b"GET /sse/chat.reset HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /sse?channel=IN&channel=chat.reset HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n%b\r\n\x81\x82\0\0\0\x0040" % HANDSHAKE_HEADERS,
    ]
    for number in range(rounds):
        for stage in stages:
            made = await target.connect()
            with suppress(OSError):
                await send(made, stage)
            await asyncio.sleep(0.001 * (number % 4))  # so that it comes at different times
            reset(made)
    return {"resets": rounds * len(stages)}


async def connects(target: Target, *, count: int, at_once: int) -> Seen:
    """Clients of all kinds that connect, and leave at once, each in its own way."""
    left = count
    failed = 0

    async def leave(made: socket.socket, number: int) -> None:
        (reset if number % 2 else socket.socket.close)(made)

    async def one() -> None:
        nonlocal left, failed
        while left > 0:
            left -= 1
            number = left
            try:
                match number % 4:
                    case 0:
                        await leave(await target.connect(), number // 4)
                    case 1:
                        await leave(await target.websocket("/ws/IN"), number // 4)
                    case 2:
                        await leave(await target.socketio(), number // 4)
                    case _:
                        await target.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            except OSError:
                failed += 1

    await asyncio.gather(*(one() for _ in range(at_once)))
    return {"connects": count, "failed": failed}

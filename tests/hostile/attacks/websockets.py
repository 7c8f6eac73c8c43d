"""WebSockets that send the cheapest frames there are, at full speed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from websockets.frames import Opcode

from helpers.raw import frame
from hostile.attack import Seen
from hostile.sockets import Target, pour, read_until, send

UNITS = {
    "pong": frame(Opcode.PONG),
    "ping": frame(Opcode.PING),
    "continuation": frame(Opcode.CONT, fin=False),
    "message": frame(Opcode.TEXT),
    "byte in a fragment": frame(Opcode.CONT, b"x", fin=False),
}
_PARTS = {"continuation", "byte in a fragment"}


async def flood(target: Target, *, what: list[str], connections: int, seconds: float) -> Seen:
    """Frames of these kinds in turn on so many connections; those that end are opened again."""
    deadline = asyncio.get_running_loop().time() + seconds
    seen = {"taken": 0, "ended": 0}

    async def one(kind: str) -> None:
        while asyncio.get_running_loop().time() < deadline:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout_at(deadline):
                    made = await target.websocket("/ws/OUT")
                with made:
                    if kind in _PARTS:
                        await send(made, frame(Opcode.TEXT, b"x", fin=False))
                    seen["taken"] += await pour(made, UNITS[kind], 2**40, deadline)
                if asyncio.get_running_loop().time() < deadline:
                    seen["ended"] += 1
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one(what[number % len(what)]) for number in range(connections)))
    return dict(seen)


async def unread(target: Target, *, connections: int, each: int, payload: int) -> Seen:
    """Subscribers of names of their own that do not read what is published there, ``each`` bytes, and then go."""
    made = [await target.websocket(f"/ws/chat.u{n}", receive_buffer_bytes=4096) for n in range(connections)]
    with await target.connect_nats() as publisher:
        for number in range(each // payload):
            for n in range(connections):
                await send(
                    publisher, b"PUB chat.u%d %d\r\n%b\r\n" % (n, payload, b"%08d" % number + bytes(payload - 8))
                )
        await send(publisher, b"PING\r\n")
        await read_until(publisher, b"PONG\r\n")  # NATS has it all; the gateway will soon
        await asyncio.sleep(2)
    for connection in made:
        connection.close()
    return {"published": connections * each}

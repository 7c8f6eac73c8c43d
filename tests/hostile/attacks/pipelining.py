"""Many requests on one connection, one behind the other, whose answers are not read."""

from __future__ import annotations

import asyncio

from hostile.attack import Seen
from hostile.form import MIB
from hostile.sockets import Target, pour, reset, send

_GET = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n"
_POST = b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"


async def unread(target: Target, *, connections: int, size: int, seconds: float) -> Seen:
    """``size`` bytes of requests on each of so many connections, at full speed; how many bytes were taken of all."""
    deadline = asyncio.get_running_loop().time() + seconds

    async def one() -> int:
        taken = 0
        while taken < size and asyncio.get_running_loop().time() < deadline:
            with await target.connect() as made:
                taken += await pour(made, _GET, size - taken, deadline)
        return taken

    return {"taken": sum(await asyncio.gather(*(one() for _ in range(connections))))}


async def behind_streams(target: Target, *, connections: int, seconds: float) -> Seen:
    """Streams that are not read, with requests poured behind them; how many bytes were taken of all."""
    deadline = asyncio.get_running_loop().time() + seconds

    async def one(number: int) -> int:
        with await target.connect() as made:
            await send(made, b"GET /sse?channel=IN&channel=chat.%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            return await pour(made, _GET, MIB * 1024, deadline)

    return {"taken": sum(await asyncio.gather(*map(one, range(connections))))}


async def posts_then_reset(target: Target, *, connections: int, posts: int) -> Seen:
    """On each connection so many publishes; the connection is reset while they are under way."""
    for _ in range(connections):
        made = await target.connect()
        await pour(made, _POST, posts * len(_POST), asyncio.get_running_loop().time() + 10)
        await asyncio.sleep(0.002)
        reset(made)
    return {"posts": connections * posts}

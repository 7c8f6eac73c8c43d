"""The measure: many connections that all send the worst bytes there are, at full speed."""

from __future__ import annotations

import asyncio

from hostile.attack import Seen
from hostile.attacks import pipelining, socketios, websockets
from hostile.sockets import Target


async def mixed(target: Target, *, connections: int, seconds: float) -> Seen:
    """A fifth each: pongs, continuations, refused events, refused events with acks, pipelined requests."""
    each = connections // 5
    for_ever = 2**30
    names = ["pongs", "continuations", "refused", "refused with acks", "pipelined"]
    seen = await asyncio.gather(
        websockets.flood(target, what=["pong"], connections=each, seconds=seconds),
        websockets.flood(target, what=["continuation"], connections=each, seconds=seconds),
        socketios.flood(target, what=["refused"], connections=each, each=for_ever, seconds=seconds),
        socketios.flood(target, what=["refused with acks"], connections=each, each=for_ever, seconds=seconds),
        pipelining.unread(target, connections=each, size=2**40, seconds=seconds),
    )
    return dict(zip(names, seen, strict=True))

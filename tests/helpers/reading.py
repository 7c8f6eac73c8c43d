"""Reading from a bare socket by who may be cancelled meanwhile: nothing is lost for whoever reads next."""

from __future__ import annotations

import asyncio
import socket

DEADLINE_SECONDS = 30.0


async def read(of: socket.socket, size: int) -> bytes:
    """What comes next of ``size`` bytes at most; empty at the end, or when it was reset. Raises TimeoutError.

    ``loop.sock_recv`` has taken from the socket what it would return, and loses it where it is cancelled then.
    """
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(of, readable.set)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await readable.wait()
    finally:
        loop.remove_reader(of)
    try:
        return of.recv(size)
    except ConnectionError:
        return b""

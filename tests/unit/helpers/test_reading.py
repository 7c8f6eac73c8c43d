from __future__ import annotations

import asyncio
import socket

import pytest

from helpers.reading import read


@pytest.mark.parametrize("rounds", range(6))
async def test_who_is_cancelled_loses_nothing(rounds: int) -> None:
    """Whenever that is: what came is returned, or still there to be read."""
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        reading = asyncio.create_task(read(here, 100))
        await asyncio.sleep(0)
        there.send(b"what came")
        for _ in range(rounds):
            await asyncio.sleep(0)
        reading.cancel()
        (found,) = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(found, asyncio.CancelledError):
            found = here.recv(100)
        assert found == b"what came"


@pytest.mark.parametrize("unread", [b"", b"what makes it a reset"])
async def test_the_end_is_empty_and_so_is_a_reset(unread: bytes) -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    with here:
        here.send(unread)
        there.close()
        assert await read(here, 100) == b""

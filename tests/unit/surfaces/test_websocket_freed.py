"""Of a client of ``/ws/`` nothing waits for the collector of cycles, whichever way it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from helpers.cycles import nothing_left
from helpers.raw_websocket import RawWebSocket, close, more, text
from helpers.running import Running
from helpers.waiting import eventually


async def closed_by_the_client(served: Running, client: RawWebSocket) -> None:
    await client.send(close(1000))
    assert await client.receive_close() == (1000, "")


async def lost(served: Running, client: RawWebSocket) -> None:
    client.close()


async def violating(served: Running, client: RawWebSocket) -> None:
    await client.send(more(b"x"))
    assert (await client.receive_close())[0] == 1002


async def refused(served: Running, client: RawWebSocket) -> None:
    other = await served.websocket("/ws/none")
    assert (await other.receive_close())[0] == 4504
    other.close()


ENDS: tuple[Callable[[Running, RawWebSocket], Awaitable[None]], ...] = (closed_by_the_client, lost, violating, refused)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_nothing_is_left(served: Running, end: Callable[[Running, RawWebSocket], Awaitable[None]]) -> None:
    async def life() -> None:
        client = await served.websocket("/ws/BOTH")
        await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
        await client.send(text("there"))
        while (await client.receive()) != text("there"):
            pass
        await end(served, client)
        client.close()
        await served.idle("websocket")

    await life()  # what is made once is made
    left: list[str] = []
    with nothing_left(left):
        await life()
    assert left == []

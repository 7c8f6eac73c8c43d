"""Nothing of a stream that has ended is left to the collector, however it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from helpers.cycles import nothing_left
from helpers.event_stream import EventClient
from helpers.hearer import Hearer
from helpers.streams import Served, serving
from helpers.waiting import eventually


@pytest.fixture
async def direct() -> AsyncIterator[Served]:
    async for served in serving(direct=True):
        yield served


async def closed_by_the_client(client: EventClient, hearer: Hearer) -> None:
    client.close()


async def reset_by_the_client(client: EventClient, hearer: Hearer) -> None:
    client.reset()


async def half_closed(client: EventClient, hearer: Hearer) -> None:
    client.end_sending()
    await client.end()


async def closed_by_the_server(client: EventClient, hearer: Hearer) -> None:
    hearer.link.close(1001)
    await client.end()


async def aborted(client: EventClient, hearer: Hearer) -> None:
    hearer.link.abort()
    await client.end()


async def sending_behind(client: EventClient, hearer: Hearer) -> None:
    await client.send(b"GET /plain HTTP/1.1\r\n\r\n" * 10)
    client.close()


async def slow(client: EventClient, hearer: Hearer) -> None:
    while "paused" not in hearer.events:
        hearer.write(b"x" * 50_000)
        await asyncio.sleep(0)
    client.close()


ENDS = (closed_by_the_client, reset_by_the_client, half_closed, closed_by_the_server, aborted, sending_behind, slow)


async def forgotten(direct: Served) -> None:
    await eventually(lambda: not direct.connections, "the connections have ended")
    for _ in range(5):
        await asyncio.sleep(0)
    for hearer in direct.application.hearers:
        vars(hearer).pop("link", None)  # the other half of the cycle is the receiver's to cut
        hearer.events.clear()
    direct.application.failures.clear()


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_what_ended_is_freed(direct: Served, end: Callable[[EventClient, Hearer], Awaitable[None]]) -> None:
    warming, _ = await direct.open()  # what is made once is made
    warming.close()
    await forgotten(direct)
    left: list[str] = []
    with nothing_left(left):
        client, hearer = await direct.open()
        await end(client, hearer)
        await hearer.until_lost()
        client.close()
        del client, hearer
        await forgotten(direct)
    assert left == []


async def test_who_went_before_it_was_open_is_freed(direct: Served) -> None:
    left: list[str] = []
    for number in range(2):  # what is made once is made in the first round
        left.clear()
        with nothing_left(left):
            direct.application.may_open.clear()
            client = await direct.client()
            await client.ask("/")
            await eventually(lambda number=number: direct.application.asked == number + 1, "asked")  # type: ignore[misc]
            client.close()
            await eventually(lambda: not direct.connections, "gone")
            direct.application.may_open.set()
            await eventually(lambda: direct.application.failures, "heard")
            await eventually(lambda: not direct.server.uvicorn.server_state.tasks, "returned")
            await forgotten(direct)
    assert left == []

"""Of a client of ``/sse`` nothing waits for the collector of cycles, whichever way it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from helpers.cycles import nothing_left
from helpers.event_stream import EventClient
from helpers.peer import Peer
from helpers.running import Running
from helpers.waiting import eventually
from wsgw.errors import DRAINING, GatewayError


@pytest.fixture
def served(direct: Running) -> Running:
    """On our own server: another one's connections are its affair."""
    return direct


async def closed_by_the_client(served: Running, client: EventClient) -> None:
    client.close()


async def half_closed(served: Running, client: EventClient) -> None:
    client.end_sending()
    assert await client.end() == "eof"


async def drained(served: Running, client: EventClient) -> None:
    for each in list(served.gateway.drain._clients):
        each.drain()
    del each
    assert await client.end() == "chunks"


async def refused_for_good(served: Running, client: EventClient) -> None:
    other = await served.stream("/sse/NOPE")
    assert other.status == 404
    other.close()


async def refused_in_passing(served: Running, client: EventClient) -> None:
    check = served.gateway.drain.check

    def stopping() -> None:
        raise GatewayError(DRAINING, "it stops")

    served.gateway.drain.check = stopping  # type: ignore[method-assign]
    other = await served.stream("/sse/BOTH")
    assert other.status == 200
    assert "content-length" in other.head
    other.close()
    served.gateway.drain.check = check  # type: ignore[method-assign]


async def only_its_head(served: Running, client: EventClient) -> None:
    other = await served.event_client()
    await other.ask("/sse/BOTH", method="HEAD")
    assert await other.answer() == 200
    other.close()


ENDS = (closed_by_the_client, half_closed, drained, refused_for_good, refused_in_passing, only_its_head)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_nothing_is_left(
    served: Running, peer: Peer, end: Callable[[Running, EventClient], Awaitable[None]]
) -> None:
    async def life() -> None:
        client = await served.stream("/sse?channel=BOTH&channel=chat.1")
        await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
        await peer.publish("BOTH", "there")
        await client.next()
        await end(served, client)
        client.close()
        await served.idle("sse")

    await life()  # what is made once is made
    left: list[str] = []
    with nothing_left(left):
        await life()
    assert left == []

"""A stock EventSource (npm's ``eventsource``): what it hears, that it comes back where it is to, and gives up else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from helpers import node
from helpers.peer import Peer
from helpers.running import Running
from helpers.waiting import eventually
from wsgw.errors import DRAINING, GatewayError
from wsgw.surfaces.sse import stream

EVENTSOURCE = "eventsource@4"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients come back at once."""
    node.modules(EVENTSOURCE)
    monkeypatch.setattr(stream, "RETRY_MILLISECONDS", (10, 20))


async def heard(served: Running, path: str, during: Callable[[], Awaitable[None]] | None = None) -> list[list[object]]:
    """What an EventSource on ``path`` says; ``during`` is what happens meanwhile."""
    script = Path(__file__).with_name("eventsource.cjs")
    url = f"http://127.0.0.1:{served.server.port}{path}"
    running = asyncio.ensure_future(node.run(script, url, packages=(EVENTSOURCE,)))
    try:
        if during is not None:
            await during()
        out = await running
    finally:
        running.cancel()
    return [json.loads(line) for line in out.splitlines()]


async def there(served: Running) -> None:
    await eventually(lambda: served.value("wsgw_subscriptions", channel="IN") == 1, "subscribed")


async def test_it_comes_back_after_an_end(served: Running, peer: Peer) -> None:
    async def during() -> None:
        await there(served)
        await peer.publish("IN", "one\n two", b"\xff", "")
        await eventually(lambda: served.value("wsgw_deliveries_total", channel="IN", transport="sse") == 3, "they came")
        (client,) = served.gateway.drain._clients
        client.drain()
        await eventually(lambda: served.value("wsgw_closes_total", code="1001") == 1, "it has ended")
        await there(served)
        await peer.publish("IN", "end")

    assert await heard(served, "/sse/IN", during) == [
        ["open"],
        ["message", "one\n two"],
        ["binary", "/w=="],
        ["message", ""],
        ["error", False],
        ["open"],
        ["message", "end"],
    ]


async def test_it_comes_back_after_a_refusal_that_passes(
    served: Running, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[None] = []

    def stopping() -> None:
        if len(refused) < 2:
            refused.append(None)
            raise GatewayError(DRAINING, "it stops")

    monkeypatch.setattr(served.gateway.drain, "check", stopping)

    async def during() -> None:
        await there(served)
        await peer.publish("IN", "end")

    told = ["wsgw:error", json.dumps({"error": {"code": "draining", "message": "it stops"}}, separators=(",", ":"))]
    assert await heard(served, "/sse/IN", during) == [
        *[["open"], told, ["error", False]] * 2,
        ["open"],
        ["message", "end"],
    ]


async def test_it_gives_up_where_it_is_to(served: Running) -> None:
    assert await heard(served, "/sse/NOPE") == [["error", True]]

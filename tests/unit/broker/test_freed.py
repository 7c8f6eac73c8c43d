"""What ended is freed by reference counts: the collector is told to come seldom."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from helpers.brokers import Brokers, started
from helpers.metrics import value
from helpers.waiting import eventually
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication

from .conftest import StartLiar


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_a_lost_connection(make_broker: Brokers, start_liar: StartLiar) -> None:
    liar = await start_liar()
    broker, metrics = await started(make_broker, liar.url)
    got: list[Publication] = []
    ended: weakref.ref[asyncio.Future[GatewayError]] = weakref.ref((await broker.subscribe("a", got.append)).ended)
    with pytest.raises(GatewayError):
        await broker.request("q", b"", 0.01)
    made = broker._connection
    assert made is not None
    parts = [weakref.ref(part) for part in (made, made._client, made._client._stream, made._requests, made._fences)]
    del made
    (await liar.connected()).close()
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "the next connection")
    await eventually(lambda: not any(part() for part in parts), "nothing is left of the first one")
    assert ended() is None


async def test_requests_that_failed(make_broker: Brokers, start_liar: StartLiar) -> None:
    """Their errors hold the frames they came through, and these the payloads."""
    liar = await start_liar()
    broker, _ = await started(make_broker, liar.url)

    async def ask() -> None:
        with pytest.raises(GatewayError):
            await broker.request("q", bytes(1000), 0.01)

    await asyncio.gather(*[ask() for _ in range(50)])
    await broker.barrier()
    there = [each for each in gc.get_objects() if isinstance(each, GatewayError)]
    assert len(there) <= 1, "the last one, maybe"

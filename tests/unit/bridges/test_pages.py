"""Reads of a stream: shared, few at once, kept a while, and refused where the stream is another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from helpers.durables import Durables, durable
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.stack import Stack
from helpers.waiting import arrived
from wsgw.bridges import pages as module
from wsgw.bridges.pages import Page, Pages
from wsgw.bridges.parts import Parts
from wsgw.broker.jetstream import JetStream, StreamInfo
from wsgw.broker.reads import StoredMessage, StreamReads
from wsgw.channels.durable import Durable
from wsgw.errors import STREAM_UNAVAILABLE, GatewayError


@pytest.fixture
async def orders(jetstream: NatsServer) -> AsyncIterator[Durables]:
    made = Durables(jetstream, Stack(), durable())
    async with asyncio.timeout(60):
        await made.open()
        yield made
        await made.close()


@pytest.fixture
async def pages(orders: Durables) -> AsyncIterator[Pages]:
    broker = orders.stack.broker
    streams = JetStream(broker, "$JS.API")
    reads = StreamReads(broker, streams)
    made = Pages("orders", Durable("S"), streams, reads, Parts(None), orders.stack.metrics)
    yield made
    await made.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many reads were under way at most."""
    under_way = most = 0
    read = StreamReads.read

    async def slowly(self: StreamReads, info: StreamInfo, subject: str, first: int) -> list[StoredMessage]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        try:
            return await read(self, info, subject, first)
        finally:
            under_way -= 1

    monkeypatch.setattr(StreamReads, "read", slowly)
    return lambda: most


def identity(orders: Durables) -> str:
    assert orders.bridge.history is not None
    return orders.bridge.history.identity


def sequences(page: Page) -> list[int]:
    return [one.sequence for one in page.publications]


async def test_a_page(orders: Durables, pages: Pages) -> None:
    await orders.publish(*range(5))
    page = await pages.read(identity(orders), "orders", 2, anew=False)
    assert (page.after, page.until, sequences(page), page.first, page.deleted) == (0, 5, [1, 2, 3, 4, 5], 1, False)
    page = await pages.read(identity(orders), "orders", 2, anew=True)
    assert (page.after, sequences(page)) == (2, [3, 4, 5])
    page = await pages.read(identity(orders), "orders", 5, anew=True)
    assert (page.until, sequences(page)) == (5, [])
    await orders.ask("STREAM.MSG.DELETE.S", seq=3)
    page = await pages.read(identity(orders), "orders", 1, anew=True)
    assert (sequences(page), page.deleted) == ([2, 4, 5], True)


async def test_those_who_want_the_same_share_it(
    orders: Durables, pages: Pages, slow: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_MESSAGES", 2)
    await orders.publish(*range(8))
    of = identity(orders)
    reads: list[Awaitable[Page]] = [pages.read(of, "orders", 2, anew=False) for _ in range(100)]
    reads += [pages.read(of, "orders", after, anew=True) for after in range(8)]
    found = await asyncio.gather(*reads)
    assert {id(page) for page in found[:100]} == {id(found[102])}
    assert value(orders.stack.metrics, "wsgw_stream_reads_total", channel="orders") == 8
    assert slow() == module.MAX_READS
    again = await pages.read(of, "orders", 7, anew=True)
    assert again is found[-1], "kept"
    pages.forget()
    assert await pages.read(of, "orders", 7, anew=True) is not again


async def test_one_who_goes_takes_it_from_nobody(orders: Durables, pages: Pages, slow: Callable[[], int]) -> None:
    await orders.publish("a")
    of = identity(orders)
    gone, other = (asyncio.ensure_future(pages.read(of, "orders", 0, anew=True)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert sequences(await other) == [1]


async def test_another_stream(orders: Durables, pages: Pages) -> None:
    await orders.publish("a")
    with pytest.raises(GatewayError, match="another one, or none, by now") as caught:
        await pages.read("0123456789", "orders", 0, anew=True)
    assert caught.value.kind is STREAM_UNAVAILABLE
    page = await pages.read(identity(orders), "orders", 0, anew=True)
    assert sequences(page) == [1], "a fault is not kept"


async def test_the_last_one(orders: Durables, pages: Pages) -> None:
    assert await pages.find_last(identity(orders)) == 0
    await orders.publish("a", "b")
    await orders.ask("STREAM.PURGE.S")
    assert await pages.find_last(identity(orders)) == 2
    with pytest.raises(GatewayError, match="another one, or none, by now"):
        await pages.find_last("0123456789")


async def test_since(orders: Durables, pages: Pages) -> None:
    await orders.publish("a", "b")
    assert orders.bridge.history is not None
    times = [one.stored_at_ns for one in orders.bridge.history.after(0, 9)]
    of = identity(orders)
    for at, wanted in [(0, 0), (times[0], 0), (times[0] + 1, 1), (times[1], 1), (times[1] + 1, 2)]:
        assert await pages.find_since(of, "orders", at) == wanted


async def test_the_newest_are_kept(orders: Durables, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAGES", 2)
    await orders.publish(*range(5))
    of = identity(orders)
    found = [await pages.read(of, "orders", after, anew=True) for after in range(3)]
    assert await pages.read(of, "orders", 1, anew=True) is found[1]
    assert await pages.read(of, "orders", 2, anew=True) is found[2]
    assert await pages.read(of, "orders", 0, anew=True) is not found[0]


async def test_what_is_under_way_ends_with_it(orders: Durables, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    await orders.publish("a", "b")
    asked: list[str] = []

    async def never(self: StreamReads, info: StreamInfo | str, subject: str, first: int) -> list[StoredMessage]:
        asked.append(subject)
        await asyncio.Event().wait()
        return []

    for name in ("read", "read_one"):
        monkeypatch.setattr(StreamReads, name, never)
    of = identity(orders)
    waiting: list[asyncio.Future[Page] | asyncio.Future[int]] = [
        pages.read(of, "orders", 0, anew=True),
        pages.find_since(of, "orders", 1),
    ]
    await arrived(asked, 2)
    await pages.close()
    assert [each.done() for each in waiting] == [True, True]
    for each in waiting:
        with suppress(GatewayError, asyncio.CancelledError):
            each.result()

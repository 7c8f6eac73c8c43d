"""A real server says that there is no room for one subscription more, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.connection import Opened
from helpers.nats_server import NatsServer
from helpers.waiting import arrived
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication

LIMIT = "max_subscriptions: {}\n"


async def test_the_ones_that_have_no_room(
    make_broker: Brokers, start_server: Callable[..., NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    broker, _ = await started(make_broker, start_server(LIMIT.format(4)).url)  # one is the inbox
    lost = broker.lost()
    got: list[str] = []

    def deliver(publication: Publication) -> None:
        got.append(publication.subject)

    made = await broker.subscribe_all([(f"s.{number}", deliver) for number in range(6)])
    assert [each.ended.done() for each in made] == [False] * 3 + [True] * 3
    assert {each.ended.result().kind.name for each in made[3:]} == {"overloaded"}
    with pytest.raises(GatewayError) as caught:
        await broker.subscribe("s.9", deliver)
    assert caught.value.kind.name == "overloaded"
    with pytest.raises(GatewayError, match="no room") as caught:
        await broker.request("q", b"", 20)
    assert caught.value.kind.name == "overloaded"
    next_one = asyncio.ensure_future(broker.subscribe("s.7", deliver))
    await asyncio.sleep(0)
    broker.unsubscribe(made[0])  # in the same tick: the next one takes its place
    await next_one
    broker.publish("s.0", [b""], lambda error: None)
    for number in (1, 2, 3, 7):
        assert await publish(broker, f"s.{number}") is None
    await arrived(got, 3)
    assert got == ["s.1", "s.2", "s.7"]
    assert broker.lost() is lost, "the connection is the first one"
    assert caplog.text.count("the server says: maximum subscriptions exceeded") == 1


async def test_one_that_comes_and_goes_in_a_tick(make_broker: Brokers, start_server: Callable[..., NatsServer]) -> None:
    broker, _ = await started(make_broker, start_server(LIMIT.format(3)).url)
    got: list[str] = []

    def deliver(publication: Publication) -> None:
        got.append(publication.subject)

    cancelled = asyncio.ensure_future(broker.subscribe("s.0", deliver))
    staying = asyncio.ensure_future(broker.subscribe("s.1", deliver))
    full = asyncio.ensure_future(broker.subscribe("s.2", deliver))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert not (await staying).ended.done()
    with pytest.raises(GatewayError):
        await full
    again = await broker.subscribe("s.3", deliver)
    for number in range(4):
        assert await publish(broker, f"s.{number}") is None
    await arrived(got, 2)
    assert got == ["s.1", "s.3"]
    assert not again.ended.done()


async def test_one_that_ends_in_its_tick_makes_no_room_in_it(
    open_connection: Opened, start_server: Callable[..., NatsServer]
) -> None:
    """Else the last one would be taken for the one that had no room."""
    connection = await open_connection(start_server(LIMIT.format(2)).url)
    first, second, third, later = [NatsSubscription(f"s.{number}", lambda publication: None) for number in range(4)]
    connection._ask_for([first, second])
    connection.unsubscribe(first)
    connection._ask_for([third])
    await connection.barrier()
    assert [each.ended.done() for each in (second, third)] == [True, True]
    await connection.subscribe(later)


async def test_a_server_that_says_so_although_nothing_was_asked(connection: NatsConnection) -> None:
    waiting = connection.barrier()
    connection.error("maximum subscriptions exceeded")
    assert connection.in_flight == (0, 0), "to wait for what was sent is no message"
    await waiting

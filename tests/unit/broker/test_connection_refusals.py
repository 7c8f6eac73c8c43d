"""However much NATS refuses of what it was asked for: an honest one is never taken for one that makes refusals up."""

from __future__ import annotations

import asyncio

import pytest

from helpers.connection import Opened, kind, publish
from helpers.waiting import arrived
from wsgw.broker import connection as module
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import FORBIDDEN, Kind

from .conftest import StartLiar

pytestmark = pytest.mark.usefixtures("_bounded")


@pytest.fixture(autouse=True)
def _none_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE_REFUSALS", 0)


async def test_publishes(limited: NatsConnection) -> None:
    told: list[Kind | None] = []
    for number in range(10):
        for _ in range(500):
            limited.publish(f"denied.{number}", [b"x", b"y"], lambda error: told.append(kind(error)))
        await asyncio.sleep(0)  # batches, of which several are under way
    await arrived(told, 5000)
    assert set(told) == {FORBIDDEN}
    assert await publish(limited, "ok.x") is None


async def test_subscriptions(limited: NatsConnection) -> None:
    wanted = [NatsSubscription(f"denied.{number}", lambda publication: None) for number in range(2000)]
    asking = asyncio.ensure_future(limited.subscribe_all(wanted))
    await asyncio.sleep(0)
    for subscription in wanted:
        limited.unsubscribe(subscription)  # who left before the answer is refused nonetheless
    await asking
    assert {kind(subscription.ended.result()) for subscription in wanted if subscription.ended.done()} <= {FORBIDDEN}
    assert await publish(limited, "ok.x") is None


async def test_permissions_taken_back(open_connection: Opened, start_liar: StartLiar) -> None:
    """As nats-server does it at a reload: nothing is asked, and each subscription is refused."""
    liar = await start_liar()
    connection = await open_connection(liar.url)
    wanted = [NatsSubscription(f"a.{number}", lambda publication: None) for number in range(1000)]
    await connection.subscribe_all(wanted)
    there = await liar.connected()
    there.says(b"".join(b"-ERR 'Permissions Violation for Subscription to \"a.%d\"'\r\n" % n for n in range(1000)))
    await asyncio.gather(*[subscription.ended for subscription in wanted])
    assert await publish(connection, "a") is None
    assert not connection.lost.done()

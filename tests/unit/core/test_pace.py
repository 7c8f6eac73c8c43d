"""One client that sends too fast: held back, and closed when it goes on."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any, cast

import pytest

from helpers.session import Client, principal
from helpers.waiting import eventually
from wsgw.access.meter import Meter, SessionRates, meter_of
from wsgw.broker.broker import Broker
from wsgw.config.limits import LimitsSettings
from wsgw.core.backpressure import BackPressure
from wsgw.core.edge import Edge
from wsgw.core.pace import Pace
from wsgw.metrics import Metrics


class NoBroker:
    """As much of a broker as is asked."""

    def add(self, _: object) -> None: ...

    def discard(self, _: object) -> None: ...


class Seen(Pace):
    """One of which it is seen when it is freed."""

    __slots__ = ("__weakref__",)


class Paced:
    """A pace, its client, and a clock for the rates; the loop's own is real."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        settings = LimitsSettings(**{"burst": 1, "rate_timeout": 10, **limits})
        self.edge = Edge(settings, Metrics(), lambda: self.now)
        meter = meter_of(self.edge.seats, SessionRates(settings), principal(), stays=True)
        assert meter is not None
        self.meter: Meter = meter
        self.client = Client()
        self.pace = Seen(meter, self.edge, principal(), self.client)
        self.pressure = BackPressure(cast("Broker", NoBroker()), self.client.hold, self.client.release)


async def test_who_is_beyond_it_is_held_until_it_is_made_up_for() -> None:
    paced = Paced(messages_per_second=100)
    paced.pace.sent(100, 0, paced.pressure)
    assert paced.client.calls == []
    paced.pace.sent(2, 0, paced.pressure)
    assert paced.client.calls == ["hold"]
    paced.now += 1
    await eventually(lambda: paced.client.calls == ["hold", "release"], "released")


async def test_it_is_held_as_long_as_others_have_taken_what_there_is() -> None:
    paced = Paced(messages_per_second=100)
    paced.pace.sent(101, 0, paced.pressure)
    paced.now += 0.005
    for _ in range(5):
        await asyncio.sleep(0.02)  # the pace looks meanwhile: its time is over by the loop's clock
        assert paced.client.calls == ["hold"]
    paced.now += 0.006
    await eventually(lambda: paced.client.calls == ["hold", "release"], "released")


async def test_held_again_while_it_is() -> None:
    paced = Paced(messages_per_second=100)
    for _ in range(3):
        paced.pace.sent(101, 0, paced.pressure)
    assert paced.client.calls == ["hold"]
    paced.now += 5
    await eventually(lambda: paced.client.calls == ["hold", "release"], "released, once")


async def test_who_goes_on_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    paced = Paced(messages_per_second=10)
    with caplog.at_level(logging.WARNING):
        for _ in range(13):
            paced.now += 1
            paced.pace.sent(12, 0, paced.pressure)
            paced.pressure.in_time()
    assert paced.client.calls.count("rate_limited") == 1
    assert [record.getMessage() for record in caplog.records] == [
        "closed: rate_limited: websocket ann: more than the client may send, or connect, in a second: less, and come "
        "back later"
    ]


async def test_refused() -> None:
    paced = Paced(messages_per_second=1)
    assert paced.pace.refuse(1, 0) is None
    for _ in range(20):
        paced.now += 0.6
        paced.pace.refuse(1, 0)
    assert paced.client.calls == ["rate_limited"]


async def test_nothing_is_left_of_who_is_gone() -> None:
    """However often it was held."""
    paced = Paced(messages_per_second=100)
    for _ in range(3):
        paced.pace.sent(150, 0, paced.pressure)
    paced.pace.close()
    paced.pace.sent(150, 0, paced.pressure)  # as it goes
    ref = weakref.ref(paced.pace)
    del paced.pace
    assert ref() is None


async def test_who_is_gone_is_told_nothing() -> None:
    paced = Paced(messages_per_second=100)
    paced.pace.sent(150, 0, paced.pressure)
    paced.pace.close()
    paced.now += 100
    await asyncio.sleep(0.05)  # nothing is to happen
    for _ in range(30):
        paced.now += 1
        paced.pace.refuse(200, 0)
        paced.pace.refuse(200, 0)
    assert paced.client.calls == ["hold"]

"""What one connection sends, by its own rates and by those of its user."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.metrics import value
from helpers.session import principal
from wsgw.access.identity import Identity
from wsgw.access.meter import CALM_SECONDS, Meter, SessionRates, meter_of
from wsgw.access.principal import Principal
from wsgw.access.rights import NO_RIGHTS
from wsgw.access.seats import Seats
from wsgw.config.limits import LimitsSettings
from wsgw.errors import RATE_LIMITED
from wsgw.metrics import Metrics


class Measured:
    """Meters of clients, and a clock that stands still."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        settings = LimitsSettings(**{"burst": 1, "rate_timeout": 10, **limits})
        self.seats = Seats(settings, self.metrics, lambda: self.now)
        self.rates = SessionRates(settings)

    def client(self, user: str | None = None, network: str | None = None) -> Principal:
        client = principal()
        client.seat = self.seats.arrive(network)
        if user is not None:
            client.identity = Identity(user, NO_RIGHTS)
            if client.seat is not None:
                client.seat.identify(user, stays=True)
        return client

    def meter(self, user: str | None = None, network: str | None = None, *, stays: bool = True) -> Meter:
        meter = meter_of(self.seats, self.rates, self.client(user, network), stays=stays)
        assert meter is not None
        return meter


def test_without_limits_there_is_none() -> None:
    measured = Measured(address={"connections": 1}, user={"connects_per_second": 1})
    for client in (measured.client(), measured.client("ann"), measured.client(network="192.0.2.1")):
        assert meter_of(measured.seats, measured.rates, client, stays=True) is None


def test_one_connection_after_another_session() -> None:
    """Who connects anew on it has sent what it sent; by POST alone nothing is of a connection."""
    measured = Measured(messages_per_second=10, bytes_per_second=1024)
    client = measured.client()
    assert meter_of(measured.seats, measured.rates, client, stays=False) is None
    for size, over in ((1000, False), (24, False), (1, True)):
        meter = meter_of(measured.seats, measured.rates, client, stays=True)
        assert meter is not None
        assert (meter.refuse(1, size) is not None) is over


def test_messages_of_a_connection() -> None:
    measured = Measured(messages_per_second=10)
    meter, other = measured.meter(), measured.meter()
    assert [meter.refuse(1, 5) is None for _ in range(11)] == [True] * 10 + [False]
    assert other.refuse(10, 5) is None
    error = meter.refuse(1, 5)
    assert error is not None
    assert (error.kind, error.message) == (RATE_LIMITED, "this connection has more messages in a second than it may")
    assert error.retry_after_seconds == pytest.approx(0.1, rel=1e-4)
    measured.now += 0.1
    assert meter.refuse(1, 5) is None
    assert value(measured.metrics, "wsgw_limited_total", scope="session", limit="messages") == 2


def test_bytes_of_a_connection() -> None:
    measured = Measured(bytes_per_second=1024)
    meter = measured.meter()
    assert meter.refuse(5, 1000) is None
    assert meter.refuse(0, 24) is None
    error = meter.refuse(1, 1)
    assert error is not None
    assert error.message == "this connection has more bytes in a second than it may"
    assert value(measured.metrics, "wsgw_limited_total", scope="session", limit="bytes") == 1


def test_what_is_refused_costs_nothing() -> None:
    measured = Measured(messages_per_second=10, bytes_per_second=1024)
    meter = measured.meter()
    assert meter.refuse(1, 1024) is None
    for _ in range(100):
        assert meter.refuse(1, 1) is not None
    measured.now += 1
    assert all(meter.refuse(1, 100) is None for _ in range(10))


@pytest.mark.parametrize("by", ["user", "address"])
def test_connections_share_what_their_user_or_address_has(by: str) -> None:
    measured = Measured(**{by: {"messages_per_second": 10, "bytes_per_second": 10_000}})
    who = ("ann", None) if by == "user" else (None, "192.0.2.1")
    one, two = measured.meter(*who), measured.meter(*who)
    other = measured.meter(*(("bob", None) if by == "user" else (None, "192.0.2.2")))
    assert one.refuse(6, 0) is None
    assert two.refuse(6, 0) is not None
    assert two.refuse(4, 0) is None
    assert other.refuse(10, 0) is None
    assert value(measured.metrics, "wsgw_limited_total", scope=by, limit="messages") == 1
    alone = measured.meter(*who, stays=False)
    assert alone.refuse(0, 10_000) is None
    assert one.refuse(0, 1) is not None


def test_a_single_message_has_paid_for_itself() -> None:
    """So that others' debts are not its own."""
    measured = Measured(address={"messages_per_second": 10, "bytes_per_second": 10_000})
    alone = measured.meter(network="192.0.2.1", stays=False)
    measured.meter(network="192.0.2.1").charge(50, 100)
    assert alone.refuse(0, 100) is None


def test_how_much_at_once() -> None:
    assert Measured(messages_per_second=10).meter().burst == 10
    assert Measured(messages_per_second=10, user={"messages_per_second": 5}).meter("ann").burst == 5
    assert Measured(messages_per_second=0.1).meter().burst == 1
    assert Measured(bytes_per_second=1024).meter().burst == 1_000_000


def test_who_is_known_is_not_measured_by_its_address() -> None:
    measured = Measured(address={"messages_per_second": 1})
    client = measured.client("ann", "192.0.2.1")
    assert meter_of(measured.seats, measured.rates, client, stays=True) is None


def test_what_came_is_to_be_made_up_for() -> None:
    measured = Measured(messages_per_second=10, bytes_per_second=1024)
    meter = measured.meter()
    assert meter.charge(10, 100) == 0
    assert meter.charge(5, 100) == pytest.approx(0.5, rel=1e-4)
    assert meter.charge(1, 3024) == pytest.approx((3224 - 1024) / 1024)
    measured.now += 0.5
    assert meter.wait() == pytest.approx((3224 - 1024) / 1024 - 0.5)
    measured.now += 10
    assert meter.wait() == 0
    assert value(measured.metrics, "wsgw_limited_total", scope="session", limit="messages") == 1
    assert value(measured.metrics, "wsgw_limited_total", scope="session", limit="bytes") == 1


@pytest.mark.parametrize("held", [True, False])
def test_who_goes_on_is_found_out(held: bool) -> None:
    measured = Measured(messages_per_second=10)
    meter = measured.meter()

    def too_much() -> None:
        if held:
            assert meter.charge(20, 0)
        else:
            meter.refuse(10, 0)
            assert meter.refuse(1, 0)

    start = measured.now
    while measured.now < start + 10:
        too_much()
        assert not meter.goes_on
        measured.now += 1
    too_much()
    assert meter.goes_on


@pytest.mark.parametrize("limits", [{"messages_per_second": 1}, {"user": {"messages_per_second": 1}}])
def test_who_connects_again_on_its_connection_goes_on(limits: dict[str, Any]) -> None:
    """By its own rates or by others': a session that is new has not been within them for that."""
    measured = Measured(**limits)
    client = measured.client("ann")

    def goes_on() -> bool:
        meter = meter_of(measured.seats, measured.rates, client, stays=True)
        assert meter is not None
        meter.refuse(1, 0)
        assert meter.refuse(1, 0)
        return meter.goes_on

    for _ in range(10):
        assert not goes_on()
        measured.now += 1
    assert goes_on()
    other = measured.meter("bob")
    other.refuse(1, 0)
    assert other.refuse(1, 0)
    assert not other.goes_on


def test_who_pauses_did_not_go_on() -> None:
    measured = Measured(messages_per_second=10)
    meter = measured.meter()
    for _ in range(10):
        meter.refuse(10, 0)
        assert meter.refuse(1, 0)
        measured.now += CALM_SECONDS
        assert not meter.goes_on


def test_one_large_message_is_no_going_on() -> None:
    """Though it takes long to make up for it."""
    measured = Measured(bytes_per_second=1024)
    meter = measured.meter()
    assert meter.charge(1, 101 * 1024) == pytest.approx(100)
    assert not meter.goes_on
    measured.now += 100
    assert meter.charge(1, 1024 * 1024) > 100
    assert meter.goes_on

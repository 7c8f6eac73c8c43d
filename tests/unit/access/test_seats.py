"""Connections by address and by user: who counts where, and that all is given back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.metrics import value
from wsgw.access.seats import Seat, Seats
from wsgw.config.limits import LimitsSettings
from wsgw.errors import RATE_LIMITED, TOO_MANY_CONNECTIONS, LimitError
from wsgw.metrics import Metrics

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Counted:
    """Seats with their metrics, and a clock that stands still."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.seats = Seats(LimitsSettings(**{"burst": 1, **limits}), self.metrics, lambda: self.now)

    def arrive(self, network: str | None = HERE) -> Seat:
        seat = self.seats.arrive(network)
        assert seat is not None
        return seat

    def limited(self, scope: str, limit: str) -> float:
        return value(self.metrics, "wsgw_limited_total", scope=scope, limit=limit)

    def names(self, scope: str) -> float:
        self.seats.sweep()
        return value(self.metrics, "wsgw_limited_names", scope=scope)


def test_by_default_nothing_counts_by_address() -> None:
    counted = Counted()
    assert counted.arrive().entry is None
    assert counted.seats.addresses is None


def test_where_nothing_is_limited_nobody_has_a_seat() -> None:
    counted = Counted(user={"connections": None})
    assert counted.seats.users is None
    assert counted.seats.arrive(HERE) is None
    assert Seats(LimitsSettings(), counted.metrics, has_users=False).arrive(HERE) is None


def test_who_has_no_address_that_says_something_is_not_limited() -> None:
    counted = Counted(address={"connections": 1})
    for _ in range(3):
        assert counted.arrive(None).entry is None


def test_connections_of_an_address() -> None:
    counted = Counted(address={"connections": 2})
    first, _ = counted.arrive(), counted.arrive()
    counted.arrive(THERE)
    with pytest.raises(LimitError, match="this address has as many connections") as refused:
        counted.arrive()
    assert refused.value.kind is TOO_MANY_CONNECTIONS
    assert counted.limited("address", "connections") == 1
    first.leave()
    counted.arrive()


@pytest.mark.parametrize("address", [None, {"connections": 5}])
def test_who_was_refused_for_something_else_and_is_another_user_then(address: dict[str, int] | None) -> None:
    """As over Socket.IO: one CONNECT after another, with another token."""
    counted = Counted(user={"connections": 1}, **({} if address is None else {"address": address}))
    seat = counted.arrive()
    seat.identify("ann", stays=True)
    seat.enter()
    seat.leave()
    seat.identify("bob", stays=True)
    seat.enter()
    counted.arrive().identify("ann", stays=True)
    with pytest.raises(LimitError, match="this user has as many connections"):
        counted.arrive().identify("bob", stays=True)


def test_one_connection_is_one_however_many_hold_it() -> None:
    counted = Counted(address={"connections": 1})
    seat = counted.arrive()
    seat.enter()
    seat.leave()
    with pytest.raises(LimitError):
        counted.arrive()
    seat.leave()
    counted.arrive()


def test_connects_of_an_address() -> None:
    counted = Counted(address={"connects_per_second": 2})
    seats = [counted.arrive(), counted.arrive()]
    with pytest.raises(LimitError, match="this address has more connections in a second than") as refused:
        counted.arrive()
    assert refused.value.kind is RATE_LIMITED
    assert refused.value.retry_after_seconds == pytest.approx(0.5, rel=1e-4)
    counted.arrive(THERE)
    for seat in seats:
        seat.leave()  # which is no reason to come again at once
    with pytest.raises(LimitError):
        counted.arrive()
    counted.now += 0.5
    counted.arrive()
    assert counted.limited("address", "connects") == 2


def test_a_single_message_is_a_message() -> None:
    counted = Counted(address={"connects_per_second": 1, "messages_per_second": 2, "connections": 1})
    for _ in range(2):
        counted.seats.arrive(HERE, stays=False)
    with pytest.raises(LimitError, match="this address has more messages in a second than"):
        counted.seats.arrive(HERE, stays=False)
    counted.arrive()


def test_who_is_known_counts_by_its_user() -> None:
    counted = Counted(address={"connections": 1, "connects_per_second": 1}, user={"connections": 2})
    seat = counted.arrive()
    seat.identify("ann", stays=True)
    other = counted.arrive()
    other.identify("bob", stays=True)
    stranger = counted.arrive()
    with pytest.raises(LimitError, match="this address"):
        counted.arrive()
    for each in (seat, other, stranger):
        each.leave()
    counted.now += 1
    assert (counted.names("user"), counted.names("address")) == (0, 0)


def test_connections_of_a_user() -> None:
    counted = Counted(user={"connections": 2})
    seats = [counted.arrive(), counted.arrive()]
    for seat in seats:
        seat.identify("ann", stays=True)
    third = counted.arrive()
    with pytest.raises(LimitError, match="this user has as many connections as it may"):
        third.identify("ann", stays=True)
    assert counted.limited("user", "connections") == 1
    seats[0].leave()
    third.identify("ann", stays=True)


def test_a_refused_user_counts_by_its_address_as_before() -> None:
    counted = Counted(address={"connections": 2}, user={"connections": 1})
    counted.arrive().identify("ann", stays=True)
    seat = counted.arrive()
    with pytest.raises(LimitError, match="this user"):
        seat.identify("ann", stays=True)
    counted.arrive()
    with pytest.raises(LimitError, match="this address"):
        counted.arrive()
    seat.leave()
    counted.arrive()


def test_connects_of_a_user() -> None:
    counted = Counted(user={"connects_per_second": 1})
    one, other = counted.arrive(), counted.arrive()
    one.identify("ann", stays=True)
    with pytest.raises(LimitError, match="this user has more connections in a second"):
        other.identify("ann", stays=True)
    assert counted.limited("user", "connects") == 1


def test_a_user_is_known_once() -> None:
    """A client of Socket.IO may leave and connect again on its connection."""
    counted = Counted(user={"connects_per_second": 1})
    seat = counted.arrive()
    for _ in range(3):
        seat.identify("ann", stays=True)


def test_a_message_of_a_user_is_none_of_its_address() -> None:
    counted = Counted(address={"messages_per_second": 1}, user={"messages_per_second": 2})
    for _ in range(2):
        seat = counted.seats.arrive(HERE, stays=False)
        assert seat is not None
        seat.identify("ann", stays=False)
    seat = counted.seats.arrive(HERE, stays=False)
    assert seat is not None
    with pytest.raises(LimitError, match="this user has more messages"):
        seat.identify("ann", stays=False)


def test_users_that_are_not_limited_are_not_by_their_addresses_either() -> None:
    counted = Counted(address={"connections": 1, "messages_per_second": 1}, user={"connections": None})
    for _ in range(5):
        seat = counted.seats.arrive(HERE)
        assert seat is not None
        seat.identify("ann", stays=True)
        assert seat.entry is None
    counted.arrive()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["arrive", "know", "hold", "leave"]))))
def test_nothing_is_left_of_who_is_gone(steps: list[tuple[int, str]]) -> None:
    """And nobody ever has more than it may."""
    counted = Counted(address={"connections": 3, "connects_per_second": 100}, user={"connections": 2})
    held: list[tuple[Seat, int, str | None]] = []  # holders, and who it is

    def connections(scope: str) -> int:
        return sum((user is not None) is (scope == "user") for _, _, user in held)

    for which, step in steps:
        if step == "arrive":
            if connections("address") < 3:
                held.append((counted.arrive(), 1, None))
            else:
                with pytest.raises(LimitError):
                    counted.arrive()
        elif held:
            seat, holders, user = held.pop(which % len(held))
            if step == "know" and user is None:
                if connections("user") < 2:
                    seat.identify("ann", stays=True)
                    user = "ann"
                else:
                    with pytest.raises(LimitError):
                        seat.identify("ann", stays=True)
            elif step == "hold":
                seat.enter()
                holders += 1
            elif step == "leave":
                seat.leave()
                holders -= 1
            if holders:
                held.append((seat, holders, user))
        for scope, name in (("address", HERE), ("user", "ann")):
            book = counted.seats.addresses if scope == "address" else counted.seats.users
            assert book is not None
            entry = book.find(name)
            assert entry is not None
            assert entry.connections == connections(scope)
    for seat, holders, _ in held:
        for _ in range(holders):
            seat.leave()
    counted.now += 1
    assert (counted.names("user"), counted.names("address")) == (0, 0)

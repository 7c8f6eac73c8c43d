"""When one client is held back: for what it sent itself, for what all of them did, and for both."""

from __future__ import annotations

from typing import cast

import pytest

from wsgw.broker.broker import Broker, Publishing
from wsgw.core import backpressure as module
from wsgw.core.backpressure import BackPressure

SIZE = 10


class Known:
    """As much of a broker as is asked."""

    def __init__(self) -> None:
        self.publishing: list[Publishing] = []

    def add(self, publishing: Publishing) -> None:
        self.publishing.append(publishing)

    def discard(self, publishing: Publishing) -> None:
        if publishing in self.publishing:
            self.publishing.remove(publishing)


@pytest.fixture
def broker() -> Known:
    return Known()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def held(broker: Known, told: list[str], monkeypatch: pytest.MonkeyPatch) -> BackPressure:
    monkeypatch.setattr(module, "MAX_UNSETTLED_MESSAGES", 4)
    monkeypatch.setattr(module, "MAX_UNSETTLED_BYTES", 10 * SIZE)
    return BackPressure(cast("Broker", broker), lambda: told.append("hold"), lambda: told.append("release"))


def test_for_its_rate(held: BackPressure, told: list[str]) -> None:
    held.slow()
    held.slow()
    assert told == ["hold"]
    held.in_time()
    held.in_time()
    assert told == ["hold", "release"]


def test_for_several_reasons_at_a_time(held: BackPressure, told: list[str]) -> None:
    """It goes on when none is left, whichever ends last."""
    held.wait()
    held.slow()
    held.congested()
    send(held, 5)
    held.slow()
    for end in (held.go_on, held.cleared, held.in_time):
        end()
        assert told == ["hold"]
    held.settled(5, 5 * SIZE)
    assert told == ["hold", "release"]


def send(held: BackPressure, count: int, size: int = SIZE) -> None:
    held.sent(count, count * size)
    held.check()


def test_its_own_messages(held: BackPressure, told: list[str]) -> None:
    send(held, 4)
    assert told == []
    send(held, 1)
    send(held, 1)
    assert told == ["hold"]
    held.settled(3, 3 * SIZE)
    assert told == ["hold"]
    held.settled(1, SIZE)
    assert told == ["hold", "release"]
    held.settled(2, 2 * SIZE)
    assert told == ["hold", "release"]
    assert held.messages == 0


def test_its_own_bytes(held: BackPressure, told: list[str]) -> None:
    send(held, 1, 11 * SIZE)
    assert told == ["hold"]
    held.settled(1, 11 * SIZE)
    assert told == ["hold", "release"]


def test_until_half_of_its_bytes_are_settled(held: BackPressure, told: list[str]) -> None:
    """Though of few messages."""
    send(held, 2, 6 * SIZE)
    held.settled(1, 6 * SIZE)
    assert told == ["hold"]
    held.settled(0, SIZE)
    assert told == ["hold", "release"]


def test_closed_it_tells_nothing(held: BackPressure, told: list[str]) -> None:
    """What is on its way is settled later, and must not keep the client."""
    send(held, 5)
    held.close()
    held.settled(5, 5 * SIZE)
    held.congested()
    assert told == ["hold"]


def test_everybodys_messages(held: BackPressure, told: list[str]) -> None:
    held.congested()
    assert told == ["hold"]
    held.cleared()
    assert told == ["hold", "release"]


def test_both(held: BackPressure, told: list[str]) -> None:
    send(held, 5)
    held.congested()
    held.settled(5, 5 * SIZE)
    assert told == ["hold"]
    send(held, 5)
    held.cleared()
    assert told == ["hold"]
    held.settled(5, 5 * SIZE)
    assert told == ["hold", "release"]


def test_the_broker_knows_those_who_publish(held: BackPressure, broker: Known) -> None:
    assert broker.publishing == [held]
    send(held, 1)
    send(held, 1)
    assert broker.publishing == [held]
    held.close()
    assert broker.publishing == []
    held.close()

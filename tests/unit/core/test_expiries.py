"""When sessions end by the clock: told in time, once, whatever another's end does, and whatever clocks do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from helpers.waiting import eventually
from wsgw.core import expiries as module
from wsgw.core.expiries import Expiries
from wsgw.errors import GatewayError
from wsgw.shares.slices import Slices


class Session:
    def __init__(self, told: list[Session], then: Callable[[], None] = lambda: None) -> None:
        self.told = told
        self.then = then

    def expire(self) -> None:
        self.told.append(self)
        self.then()


@pytest.fixture
def now() -> list[float]:
    return [1000.5]


@pytest.fixture
async def expiries(now: list[float]) -> Expiries:
    return Expiries(Slices(asyncio.get_running_loop()), lambda: now[0])


async def test_told_within_a_second_behind_its_time(expiries: Expiries, now: list[float]) -> None:
    told: list[Session] = []
    session = Session(told)
    expiries.set(session, now[0] + 0.2)
    assert len(expiries) == 1
    expiries._look()
    await asyncio.sleep(0)
    assert told == []
    now[0] += 0.6
    expiries._look()
    await eventually(lambda: told == [session], "told")
    assert len(expiries) == 0
    expiries._look()
    await asyncio.sleep(0)
    assert told == [session]


async def test_by_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    expiries = Expiries(Slices(asyncio.get_running_loop()))
    told: list[Session] = []
    later, sooner = Session(told), Session(told)
    expiries.set(later, expiries._clock() + 0.7)
    expiries.set(sooner, expiries._clock() - 5)
    await eventually(lambda: told == [sooner, later], "both are told")
    assert expiries._timer is None


async def test_a_clock_that_is_set_is_noticed(
    expiries: Expiries, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SLEEP_SECONDS", 0.01)
    told: list[Session] = []
    session = Session(told)
    expiries.set(session, now[0] + 10_000)
    now[0] += 20_000
    await eventually(lambda: told == [session], "told, although the loop's clock did not move")


async def test_another_time_and_none(expiries: Expiries, now: list[float]) -> None:
    told: list[Session] = []
    session, other = Session(told), Session(told)
    expiries.set(session, now[0] + 1)
    expiries.set(session, now[0] + 100)
    expiries.set(other, now[0] + 1)
    expiries.discard(other)
    expiries.discard(other)
    now[0] += 50
    expiries._look()
    await asyncio.sleep(0)
    assert told == []
    expiries.set(session, None)
    assert len(expiries) == 0
    assert expiries._timer is None


@pytest.mark.parametrize("later", [100.0, None])
async def test_one_that_was_given_time_when_its_time_had_come(
    expiries: Expiries, now: list[float], later: float | None
) -> None:
    told: list[Session] = []
    session, gone = Session(told), Session(told)
    expiries.set(session, now[0])
    expiries.set(gone, now[0])
    now[0] += 2
    expiries._look()
    expiries.set(session, None if later is None else now[0] + later)  # before it is told
    expiries.discard(gone)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == []


async def test_a_fault_is_of_one(expiries: Expiries, now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    told: list[Session] = []

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(3):
        expiries.set(Session(told, fail), now[0])
    now[0] += 2
    with caplog.at_level(logging.ERROR):
        expiries._look()
        await eventually(lambda: len(told) == 3, "all are told")
    assert caplog.text.count("ending a session failed") == 3


async def test_times_that_no_clock_reaches(expiries: Expiries) -> None:
    session = Session([])
    expiries.set(session, 1e300)
    expiries.set(session, float("inf"))
    assert len(expiries) == 1
    expiries.discard(session)
    assert expiries.over(None) is False
    assert expiries.over(1000.5) is True
    assert expiries.over(1000.6) is False
    expiries.check(1000.6)
    with pytest.raises(GatewayError) as over:
        expiries.check(1000.5)
    assert over.value.kind.name == "token_expired"

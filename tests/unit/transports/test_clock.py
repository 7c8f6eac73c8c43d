"""A deadline that moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wsgw.transports.clock import NEVER, Clock


class Loop:
    """As much of a loop as has to do with time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Any] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        timer = SimpleNamespace(when=lambda: when, callback=callback)
        timer.cancel = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        self.made += 1
        return timer

    def go(self, now: float) -> None:
        while self.timers and min(timer.when() for timer in self.timers) <= now:
            timer = min(self.timers, key=lambda timer: timer.when())
            self.timers.remove(timer)
            self.now = timer.when()
            timer.callback()
        self.now = now


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def expired(loop: Loop) -> list[float]:
    return []


@pytest.fixture
def clock(loop: Loop, expired: list[float]) -> Clock:
    return Clock(cast("asyncio.AbstractEventLoop", loop), lambda: expired.append(loop.now))


def test_it_expires_once(loop: Loop, clock: Clock, expired: list[float]) -> None:
    clock.set(5)
    loop.go(4.9)
    assert expired == []
    loop.go(100)
    assert expired == [5]
    assert loop.timers == []


def test_a_deadline_that_moves_away_sets_no_timer(loop: Loop, clock: Clock, expired: list[float]) -> None:
    for due in range(5, 10):
        clock.set(due)
    assert loop.made == 1
    loop.go(20)
    assert expired == [9]
    assert loop.made == 2


def test_a_nearer_one_comes_in_time(loop: Loop, clock: Clock, expired: list[float]) -> None:
    clock.set(50)
    clock.set(5)
    loop.go(100)
    assert expired == [5]
    assert loop.timers == []


def test_never_and_again(loop: Loop, clock: Clock, expired: list[float]) -> None:
    clock.set(5)
    clock.set(NEVER)
    loop.go(20)
    assert expired == []
    assert loop.timers == []
    clock.set(30)
    loop.go(40)
    assert expired == [30]


def test_stopped(loop: Loop, clock: Clock, expired: list[float]) -> None:
    clock.set(5)
    clock.stop()
    assert loop.timers == []
    loop.go(20)
    assert expired == []

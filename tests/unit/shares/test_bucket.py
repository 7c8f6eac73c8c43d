"""Token buckets: never more than the rate and the burst, and never less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.shares.bucket import Bucket, Rate

RATES = st.floats(0.01, 1e7)
BURSTS = st.floats(0.1, 3600)
#: Seconds since the one before, and how many came then.
COMING = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 1000)), max_size=50)


@given(RATES, BURSTS, COMING, st.floats(0, 1e6))
def test_never_more_than_the_rate_and_the_burst(
    rate: float, burst: float, coming: list[tuple[float, int]], now: float
) -> None:
    """In whatever time: from each that was taken to each later one."""
    bucket = Bucket(Rate(rate, burst))
    taken: list[tuple[float, int]] = []
    for passed, count in coming:
        now += passed
        if bucket.take(count, now):
            taken.append((now, count))
    for first in range(len(taken)):
        total = 0
        for at, count in taken[first:]:
            total += count
            most = max(bucket.rate.burst, max(n for _, n in taken[first:]))
            assert total <= (rate * (at - taken[first][0]) + most) * (1 + 1e-6) + 1e-3


@given(RATES, BURSTS, st.integers(1, 100))
def test_who_keeps_to_the_rate_is_never_refused(rate: float, burst: float, count: int) -> None:
    bucket = Bucket(Rate(rate, burst))
    now = 5.0
    for _ in range(100):
        assert bucket.take(count, now)
        now += count / rate * (1 + 1e-6)


@given(RATES, BURSTS, COMING)
def test_it_says_how_long_to_wait(rate: float, burst: float, coming: list[tuple[float, int]]) -> None:
    bucket = Bucket(Rate(rate, burst))
    now = 5.0
    for passed, count in coming:
        now += passed
        wait = bucket.wait(now, count)
        assert bucket.has(count, now) or wait > 0
        assert bucket.has(count, now + wait * (1 + 1e-6) + 1e-6)
        bucket.charge(count, now)


def test_the_burst_comes_at_once() -> None:
    bucket = Bucket(Rate(10, 2))
    assert [bucket.take(1, 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert bucket.wait(100.0, 1) == pytest.approx(0.1, rel=1e-4)
    assert not bucket.take(1, 100.05)
    assert bucket.take(1, 100.1)


def test_a_slow_rate_takes_one_at_least() -> None:
    bucket = Bucket(Rate(0.1, 1))
    assert bucket.take(1, 0.0)
    assert not bucket.take(1, 9.9)
    assert bucket.take(1, 10.0)


def test_what_is_larger_than_the_burst_takes_all_of_it() -> None:
    bucket = Bucket(Rate(10, 1))
    assert bucket.take(50, 0.0)
    assert not bucket.take(1, 3.9)
    assert bucket.take(1, 4.1)
    assert not bucket.take(50, 5.0)
    assert bucket.wait(5.0, 50) == pytest.approx(0.1, rel=1e-4)


def test_what_came_anyway_is_to_be_made_up_for() -> None:
    bucket = Bucket(Rate(10, 1))
    bucket.charge(30, 0.0)
    assert bucket.wait(0.0) == pytest.approx(2, rel=1e-4)
    assert bucket.wait(2.0) == 0


def test_given_back() -> None:
    bucket = Bucket(Rate(1, 1))
    assert bucket.take(1, 0.0)
    bucket.give_back(1)
    assert bucket.is_full(0.0)
    assert bucket.take(1, 0.0)
    assert not bucket.is_full(0.5)
    assert bucket.is_full(1.0)

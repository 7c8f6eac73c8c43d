"""Readings of the metrics that are shared."""

from __future__ import annotations

import asyncio

import pytest

from wsgw.core.scrapes import INTERVAL_SECONDS, MOST_WAITING, Scrapes


class Made:
    def __init__(self) -> None:
        self.count = 0
        self.fault: Exception | None = None

    def __call__(self) -> bytes:
        self.count += 1
        if self.fault is not None:
            raise self.fault
        return b"%d" % self.count


async def test_those_who_ask_at_the_same_time_share_one() -> None:
    made = Made()
    scrapes = Scrapes(made)
    assert set(await asyncio.gather(*[scrapes.read() for _ in range(100)])) == {b"1"}
    begun = asyncio.get_running_loop().time()
    assert set(await asyncio.gather(*[scrapes.read() for _ in range(MOST_WAITING)])) == {b"2"}
    assert asyncio.get_running_loop().time() - begun >= 0.9 * INTERVAL_SECONDS
    assert made.count == 2


async def test_who_asks_while_many_wait_gets_the_last_one() -> None:
    made = Made()
    scrapes = Scrapes(made)
    assert await scrapes.read() == b"1"
    waiting = [asyncio.ensure_future(scrapes.read()) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(scrapes.read(), INTERVAL_SECONDS / 2) == b"1"
    waiting.pop().cancel()
    await asyncio.sleep(0)
    assert await scrapes.read() == b"2", "there is room for one who waits"
    assert await asyncio.gather(*waiting) == [b"2"] * (MOST_WAITING - 1)


async def test_but_none_of_long_ago() -> None:
    made = Made()
    scrapes = Scrapes(made)
    assert await scrapes.read() == b"1"
    await asyncio.sleep(INTERVAL_SECONDS)
    assert set(await asyncio.gather(*[scrapes.read() for _ in range(100)])) == {b"2"}


async def test_one_who_goes_takes_it_from_nobody() -> None:
    made = Made()
    scrapes = Scrapes(made)
    gone, other = asyncio.ensure_future(scrapes.read()), asyncio.ensure_future(scrapes.read())
    await asyncio.sleep(0)
    gone.cancel()
    assert await other == b"1"


async def test_a_fault_is_raised_and_the_next_one_is_made_anew() -> None:
    made = Made()
    scrapes = Scrapes(made)
    made.fault = RuntimeError("no")
    with pytest.raises(RuntimeError, match="no"):
        await scrapes.read()
    made.fault = None
    assert await scrapes.read() == b"2"

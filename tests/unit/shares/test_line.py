"""One share of the slices for all who stand in line."""

from __future__ import annotations

import asyncio
from functools import partial

from helpers.waiting import eventually
from wsgw.shares.line import Line
from wsgw.shares.slices import SLICE_SECONDS, Slices


async def test_who_comes_later_waits_for_one_of_them() -> None:
    done: list[str] = []
    slices = Slices(asyncio.get_running_loop())
    line = Line(slices, SLICE_SECONDS)

    def one() -> bool:
        done.append("one")
        return True

    def another(_until: float) -> bool:
        done.append("another")
        return False

    for _ in range(100):
        line.queue(one)
    slices.queue(another)
    assert len(line) == 100
    await eventually(lambda: len(done) == 101, "all had their turns")
    assert done.index("another") == 1
    assert not line


async def test_who_costs_nothing_takes_no_time_of_others() -> None:
    left: list[int] = []
    line = Line(Slices(asyncio.get_running_loop()), SLICE_SECONDS)

    def leave(number: int, *, costs: bool) -> bool:
        left.append(number)
        return costs

    for number in range(100):
        line.queue(partial(leave, number, costs=False))
    await asyncio.sleep(0)
    assert left == list(range(100))
    line.queue(partial(leave, 100, costs=True))
    await asyncio.sleep(0)
    assert left[-1] == 100, "the line begins anew"

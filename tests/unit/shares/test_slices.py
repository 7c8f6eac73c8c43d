"""Turns on the way in: nobody keeps the loop, everybody gets on."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest
import uvloop

from helpers.fanout import Loop
from wsgw.shares.slices import LEAST_SECONDS, SLICE_SECONDS, TICK_SECONDS, Slices, one_by_one


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _idle(slices: Slices) -> None:
    while len(slices):  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_reader_gets_a_slice_and_all_of_a_tick_share_its_time(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    clock, loop = Clock(), new_loop()
    slices = Slices(loop, clock)

    async def ticks() -> None:
        assert not slices.spent()
        assert slices.until() == clock.now + SLICE_SECONDS
        assert not slices.spent()
        clock.now += TICK_SECONDS - SLICE_SECONDS / 2
        assert slices.until() == pytest.approx(clock.now + SLICE_SECONDS / 2), "what is left of the tick"
        clock.now = 1000.0 + TICK_SECONDS
        assert slices.spent()
        clock.now += SLICE_SECONDS / 2
        time.sleep(0.005)  # noqa: ASYNC251  the loop's own time goes on within a tick
        assert slices.spent()
        assert slices.until() == clock.now + LEAST_SECONDS, "the tick's time is used up"
        await asyncio.sleep(0)
        assert not slices.spent()
        assert slices.until() == clock.now + SLICE_SECONDS, "a new tick"

    try:
        loop.run_until_complete(ticks())
    finally:
        loop.close()


async def test_those_who_queue_are_served_in_turn_until_nothing_is_left() -> None:
    slices = Slices(asyncio.get_running_loop())
    served: list[str] = []
    left = {"a": 3, "b": 1, "c": 2}

    began = time.monotonic()

    def work(name: str, until: float) -> bool:
        assert until > began
        served.append(name)
        left[name] -= 1
        return left[name] > 0

    await asyncio.gather(*[slices.work_off(lambda until, name=name: work(name, until)) for name in left])  # type: ignore[misc]
    assert served == ["a", "b", "c", "a", "c", "a"]
    assert len(slices) == 0


@pytest.mark.parametrize("queued", [1, 3, 20, 300])
async def test_a_tick_serves_for_its_share_of_time_and_others_run_between(queued: int) -> None:
    clock = Clock()
    slices = Slices(asyncio.get_running_loop(), clock)
    order: list[str] = []

    def work(until: float) -> bool:
        assert until <= clock.now + SLICE_SECONDS
        clock.now = until
        order.append("work")
        return order.count("work") < 8 * queued

    for _ in range(queued):
        slices.queue(work)

    def other() -> None:
        order.append("tick")
        if len(slices):
            asyncio.get_running_loop().call_soon(other)

    other()
    await _idle(slices)
    parts = [len(part) for part in "".join(name[0] for name in order).split("t")]
    most = TICK_SECONDS / LEAST_SECONDS
    assert max(parts) == pytest.approx(min(queued, most), abs=1), (
        "each has a turn in a tick, where they are not too many"
    )


async def test_what_work_raises_keeps_nothing_alive() -> None:
    slices = Slices(asyncio.get_running_loop())

    class Content:
        pass

    async def read() -> weakref.ref[Content]:
        content = Content()
        kept = weakref.ref(content)

        def broken(until: float) -> bool:
            raise RuntimeError(content)

        with suppress(RuntimeError):
            await slices.work_off(broken)
        return kept

    gc.collect()
    gc.disable()
    try:
        kept = await read()
        await asyncio.sleep(0)
        assert kept() is None
    finally:
        gc.enable()


async def test_a_fault_ends_one_and_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    slices = Slices(asyncio.get_running_loop())

    def broken(until: float) -> bool:
        raise RuntimeError("broken")

    slices.queue(broken)
    done: list[int] = []
    await slices.work_off(lambda until: done.append(1) or False)  # type: ignore[func-returns-value]
    assert done == [1]
    assert "working off what a client sent failed" in caplog.text
    with pytest.raises(RuntimeError, match="broken"):
        await slices.work_off(broken)


async def test_what_is_cancelled_is_not_worked_for_any_more() -> None:
    slices = Slices(asyncio.get_running_loop())
    calls: list[float] = []

    def work(until: float) -> bool:
        calls.append(until)
        return True

    task = asyncio.ensure_future(slices.work_off(work))
    while len(calls) < 2:  # noqa: ASYNC110  a plain list
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    seen = len(calls)
    await _idle(slices)
    assert len(calls) <= seen + 1


async def test_whoever_has_nothing_left_queues_no_more() -> None:
    loop = asyncio.get_running_loop()
    slices = Slices(loop)
    queued: list[int] = []

    def work(until: float) -> bool:
        loop.call_soon(lambda: queued.append(len(slices)))
        return False

    await slices.work_off(work)
    assert queued == [0]


def test_nothing_runs_when_nobody_queues() -> None:
    loop = Loop()
    slices = Slices(loop)  # type: ignore[arg-type]
    slices.queue(lambda until: False)
    slices.queue(lambda until: False)
    assert len(loop.callbacks) == 1
    loop.tick()
    assert (len(slices), loop.callbacks) == (0, [])


def test_one_by_one() -> None:
    done: list[str] = []
    work = one_by_one("abc", done.append)
    assert work(0.0)
    assert done == ["a"], "one at least, and no more when the time is over"
    assert not work(time.monotonic() + 60)
    assert done == ["a", "b", "c"]


async def test_who_costs_more_later_leaves_less_for_the_others_of_the_tick() -> None:
    clock = Clock()
    slices = Slices(asyncio.get_running_loop(), clock)
    order: list[str] = []

    def dear(until: float) -> bool:
        order.append("dear")
        slices.charge(TICK_SECONDS)
        return False

    def other(until: float) -> bool:
        order.append("other")
        return False

    for work in (dear, other, other):
        slices.queue(work)
    asyncio.get_running_loop().call_soon(order.append, "tick")
    await _idle(slices)
    assert order == ["dear", "tick", "other", "other"]

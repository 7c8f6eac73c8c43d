"""Turns on the way in: what a client sent is worked off in slices, so that no client keeps the loop for itself.

Who has just read something works until ``until``, and gives what is left to ``queue``, reading no more meanwhile. Those
who queue are served in turn, for a bounded part of each tick. Whoever sends no more than a slice is never queued, and
waits for the others no longer than that part.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import TypeVar

from wsgw.shares.tick import Tick

log = logging.getLogger("wsgw")

#: Longest that one client is worked for on end; less where many queue.
SLICE_SECONDS = 0.005
#: Of one tick: for all that read in it, and again for all that queue. Above it readers get LEAST_SECONDS each.
TICK_SECONDS = 0.01
LEAST_SECONDS = 0.0001

#: Works until the clock (``time.monotonic``) says so, at least a little; whether something is left.
Work = Callable[[float], bool]


T = TypeVar("T")


def one_by_one(items: Iterable[T], do: Callable[[T], object]) -> Work:
    """``Work`` that calls ``do`` with each of ``items``."""
    left = iter(items)

    def work(until: float) -> bool:
        for item in left:
            do(item)
            if monotonic() >= until:
                return True
        return False

    return work


class Slices:
    """Belongs to one loop."""

    __slots__ = ("_clock", "_end", "_loop", "_queue", "_scheduled", "_tick")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._queue: deque[Work] = deque()
        self._scheduled = False
        self._tick = Tick(loop, clock)  # for those who read in it
        self._end = 0.0  # of the tick's part for those who queue

    def __len__(self) -> int:
        """How many queue."""
        return len(self._queue)

    def spent(self) -> bool:
        """Whether the time of this tick for those who have just read is over: to be asked before one's work."""
        return self._clock() >= self._tick.until(TICK_SECONDS)

    def until(self) -> float:
        """Until when (``time.monotonic``) one who has just read may work."""
        now = self._clock()
        return max(min(now + SLICE_SECONDS, self._tick.until(TICK_SECONDS)), now + LEAST_SECONDS)

    def queue(self, work: Work) -> None:
        """Call ``work`` in later ticks, in turn with others, until it returns False. One that raises is dropped."""
        self._queue.append(work)
        self._schedule()

    def charge(self, seconds: float) -> None:
        """What is being worked off will cost so much more, later."""
        self._end -= seconds

    async def work_off(self, work: Work) -> None:
        """As ``queue``; returns when nothing is left, and raises what ``work`` raises."""
        done: asyncio.Future[None] = self._loop.create_future()
        self.queue(partial(_step, work, done))
        try:
            await done
        finally:  # an error has this frame and those it came through, which would have it
            del done, work

    # -- inside

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        self._end = self._clock() + TICK_SECONDS
        each = min(SLICE_SECONDS, max(LEAST_SECONDS, TICK_SECONDS / len(self._queue)))  # all have a turn soon
        for _ in range(len(self._queue)):  # each of them once at most
            work = self._queue.popleft()
            try:
                if work(min(self._clock() + each, self._end)):
                    self._queue.append(work)
            except Exception:  # one client's fault is not another's
                log.exception("working off what a client sent failed")
            if self._clock() >= self._end:
                break
        del work  # see ``work_off``
        if self._queue:
            self._schedule()


def _step(work: Work, done: asyncio.Future[None], until: float) -> bool:
    if done.done():  # cancelled
        return False
    try:
        if work(until):
            return True
    except Exception as error:
        done.set_exception(error)
    else:
        done.set_result(None)
    finally:
        del done, work  # see ``work_off``
    return False

"""Who stands in line for one share of the slices: others wait for one of them, however many they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from wsgw.shares.slices import Slices


class Line:
    """Each in it costs about ``each_seconds``, some of it later."""

    __slots__ = ("_calls", "_each_seconds", "_queued", "_slices")

    def __init__(self, slices: Slices, each_seconds: float) -> None:
        self._slices = slices
        self._each_seconds = each_seconds
        self._calls: deque[Callable[[], bool]] = deque()
        self._queued = False

    def __len__(self) -> int:
        return len(self._calls)

    def queue(self, call: Callable[[], bool]) -> None:
        """Call it once, in turn; it returns whether that costs anything, and does not raise."""
        self._calls.append(call)
        if not self._queued:
            self._queued = True
            self._slices.queue(self._work)

    # -- inside

    def _work(self, until: float) -> bool:
        left = max(until - monotonic(), self._each_seconds)  # one at least
        while self._calls and left > 0:
            if self._calls.popleft()():
                self._slices.charge(self._each_seconds)
                left -= self._each_seconds
        self._queued = bool(self._calls)
        return self._queued

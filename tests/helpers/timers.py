"""A clock for a protocol object, which only the test moves on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace


class Timers:
    """As much of a loop as has to do with time. ``set`` are all timers so far."""

    def __init__(self) -> None:
        self.now = 100.0
        self.set: list[SimpleNamespace] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> SimpleNamespace:
        timer = SimpleNamespace(delay=delay, callback=callback, cancelled=False, due=self.now + delay)
        timer.cancel = lambda: setattr(timer, "cancelled", True)
        self.set.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due in it happen."""
        end = self.now + seconds
        while due := [timer for timer in self.set if not timer.cancelled and timer.due <= end]:
            first = min(due, key=lambda timer: timer.due)
            first.cancelled = True
            self.now = first.due
            first.callback()
        self.now = end

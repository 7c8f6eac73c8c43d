"""One deadline of a connection, which moves with every request, on a timer that is seldom set."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

NEVER = math.inf


class Clock:
    """Calls ``expired`` once ``due`` (the loop's time) has come; ``stop`` it when the connection is over.

    A deadline that moves away costs nothing: the timer is set anew only when it fires, or for a nearer one.
    """

    __slots__ = ("_expired", "_loop", "_timer", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self.due = NEVER

    def set(self, due: float) -> None:
        """The deadline is ``due`` from now on; NEVER for none."""
        self.due = due
        timer = self._timer
        if due == NEVER or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(due, self._fired)

    def stop(self) -> None:
        """It does not call any more, and lets go of whom it would."""
        self.due = NEVER
        self._expired = _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._timer = None
        if self._loop.time() >= self.due:
            self.due = NEVER
            self._expired()
        elif self.due != NEVER:
            self._timer = self._loop.call_at(self.due, self._fired)


def _nothing() -> None: ...

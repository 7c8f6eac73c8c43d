"""A tick of the event loop, that much of its time may be used of: for who is called many times in one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic


class Tick:
    """It is over when the loop comes to what was called soon: its time goes on within a tick, uvloop's too."""

    __slots__ = ("_begun", "_clock", "_loop", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._begun = False
        self._until = 0.0

    def until(self, seconds: float) -> float:
        """When this tick's share is used up, by the clock: ``seconds`` after this was first asked in it."""
        if not self._begun:
            self._begun = True
            self._until = self._clock() + seconds
            self._loop.call_soon(self._over)
        return self._until

    def _over(self) -> None:
        self._begun = False

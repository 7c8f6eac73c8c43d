"""Readings of the metrics: each one costs milliseconds, so those who ask at the same time share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: From one to the next: whoever asks more often waits for it.
INTERVAL_SECONDS = 0.1
#: So many wait for the next one, and keep their connections from others; who comes then gets the last one at once.
MOST_WAITING = 4


class Scrapes:
    """``make()`` reads them."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[bytes] | None = None  # that somebody waits for
        self._waiting = 0
        self._last: bytes | None = None
        self._due = 0.0  # the next one, at the earliest

    async def read(self) -> bytes:
        """The metrics as they are now, or in a moment; or, where many ask, as they were a moment ago."""
        if self._waiting >= MOST_WAITING and self._last is not None and self._loop.time() < self._due:
            return self._last
        if self._next is None:
            self._next = self._loop.create_future()
            self._loop.call_at(max(self._due, self._loop.time()), self._read)
        self._waiting += 1
        try:
            return await asyncio.shield(self._next)
        finally:
            self._waiting -= 1

    # -- inside

    def _read(self) -> None:
        waiting, self._next, self._last = self._next, None, None
        self._due = self._loop.time() + INTERVAL_SECONDS
        assert waiting is not None
        try:
            self._last = self._make()
            waiting.set_result(self._last)
        except Exception as error:
            waiting.set_exception(error)

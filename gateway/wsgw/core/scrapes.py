"""Readings of the metrics: each one costs milliseconds, so those who ask at the same time share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: From one to the next: whoever asks more often waits for it.
INTERVAL_SECONDS = 0.1


class Scrapes:
    """``make()`` reads them."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[bytes] | None = None  # that somebody waits for
        self._due = 0.0  # the next one, at the earliest

    async def read(self) -> bytes:
        """The metrics as they are now, or in a moment."""
        if self._next is None:
            self._next = self._loop.create_future()
            self._loop.call_at(max(self._due, self._loop.time()), self._read)
        return await asyncio.shield(self._next)

    # -- inside

    def _read(self) -> None:
        waiting, self._next = self._next, None
        self._due = self._loop.time() + INTERVAL_SECONDS
        assert waiting is not None
        try:
            waiting.set_result(self._make())
        except Exception as error:
            waiting.set_exception(error)

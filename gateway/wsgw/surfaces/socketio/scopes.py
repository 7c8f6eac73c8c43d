"""Waits that others can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Scopes:
    """What waits within ``async with scopes.open(key)`` ends with TimeoutError once ``end(key)`` was called."""

    def __init__(self) -> None:
        self._open: dict[Hashable, asyncio.Timeout] = {}

    @asynccontextmanager
    async def open(self, key: Hashable) -> AsyncIterator[None]:
        """A scope by a key that no open one has. What ends in it without waiting further ends well."""
        async with asyncio.timeout(None) as scope:
            self._open[key] = scope
            try:
                yield
            finally:
                self._open.pop(key, None)

    def end(self, key: Hashable) -> None:
        """End the scope ``key``; harmless where there is none, and for one that has ended."""
        scope = self._open.pop(key, None)
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

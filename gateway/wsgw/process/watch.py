"""When files are to be read again: when somebody asks for it, or when looks at them say that they have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from wsgw.tasks import NoThread, in_thread

#: Between two looks. What is there is read when two looks on end see the same: some write in parts, or file by file.
LOOK_SECONDS = 1.0

Seen = TypeVar("Seen")


class Watch(Generic[Seen]):
    """``look()`` says how the files are, in a thread called ``name``; ``seen`` is how they were before the first read.

    ``due``, ``look``, read them, ``read``; and again.
    """

    def __init__(self, seen: Seen, look: Callable[[], Seen], name: str) -> None:
        self._look = look
        self._name = name
        #: how they were when they were read last
        self.seen = seen
        self._looked = seen  # at the last look
        self._wanted = asyncio.Event()
        #: whether it looks by itself; else it has to be asked
        self.looks = True

    def request(self) -> None:
        """They are due, whether they have changed or not."""
        self._wanted.set()

    async def later(self) -> None:
        """They could not be read, and are due once more when a little time has passed."""
        await asyncio.sleep(LOOK_SECONDS)
        self.request()

    async def due(self) -> None:
        """Returns when they are to be read."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self.looks else None):
                    await self._wanted.wait()
                    self._wanted.clear()
                    return
            try:
                seen = await self.look()
            except NoThread:
                continue  # the next look is soon
            before, self._looked = self._looked, seen
            if seen != self.seen and seen == before:
                return

    async def look(self) -> Seen:
        """How they are now; raises NoThread."""
        return await in_thread(self._look, self._name)

    def read(self, seen: Seen) -> None:
        """They have been read, and were as ``seen`` before."""
        self.seen = self._looked = seen

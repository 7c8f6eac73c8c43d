"""Work that several wait for: once for all who want the same, and not for nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from wsgw.tasks import end

T = TypeVar("T")


class Shared(Generic[T]):
    """``name`` is that of its tasks. ``close`` it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: Counter[asyncio.Task[T]] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    def wait(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Future[T]:
        """The outcome of what is done for ``key``, made if there is none; to be cancelled by who wants it no more.

        It ends when nobody does.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(make(), name=self._name)
            task.add_done_callback(partial(self._over, key))
        self._waiting[task] += 1
        waiting = asyncio.shield(task)
        waiting.add_done_callback(partial(self._left, key, task))
        return waiting

    async def close(self) -> None:
        """End all of it."""
        for task in list(self._tasks.values()):
            await end(task)

    # -- inside

    def _over(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _left(self, key: Hashable, task: asyncio.Task[T], _: asyncio.Future[T]) -> None:
        self._waiting[task] -= 1
        if not self._waiting[task]:
            del self._waiting[task]
            if not task.done():
                self._over(key, task)  # who comes now has it made anew
                task.cancel()

"""Waiting for a state: polled, with a deadline, never slept for."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sized
from typing import TypeVar

#: Long, for a machine that does other things too; only a failing test waits it out.
DEADLINE_SECONDS = 30.0
_INTERVAL_SECONDS = 0.01

T = TypeVar("T")


async def eventually(
    predicate: Callable[[], T | Awaitable[T]], what: str, deadline_seconds: float = DEADLINE_SECONDS
) -> T:
    """What ``predicate`` returns as soon as that is true; AssertionError naming ``what`` when the time is over."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        found = predicate()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {deadline_seconds:g} s: {what} (last seen: {value!r})"
        await asyncio.sleep(_INTERVAL_SECONDS)


async def arrived(items: Sized, count: int, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Returns when ``items``, a list that grows, has ``count`` members or more."""
    deadline = time.monotonic() + deadline_seconds
    while len(items) < count:
        assert time.monotonic() < deadline, f"{len(items)} of {count} arrived within {deadline_seconds:g} s"
        await asyncio.sleep(_INTERVAL_SECONDS)

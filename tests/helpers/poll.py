"""Waiting for a state without guessing how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE_SECONDS = 30.0


async def until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Returns once ``condition()`` is true; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)

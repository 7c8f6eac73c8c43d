"""A tick is one turn of the loop, whatever its time says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from wsgw.shares.tick import Tick


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_lasts_for_one_turn_of_the_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    now, loop = [100.0], new_loop()
    tick = Tick(loop, lambda: now[0])

    async def ticks() -> None:
        assert tick.until(0.5) == 100.5
        now[0] += 3.0
        time.sleep(0.005)  # noqa: ASYNC251  the loop's own time goes on within a tick
        assert tick.until(0.5) == 100.5
        await asyncio.sleep(0)
        assert tick.until(0.5) == 103.5

    try:
        loop.run_until_complete(ticks())
    finally:
        loop.close()

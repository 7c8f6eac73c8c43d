from __future__ import annotations

import asyncio
import signal

import pytest

from helpers.loops import gateway_loop


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def test_the_time_of_a_test_can_end() -> None:
    """As pytest-timeout does it, by a signal."""
    usual = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("its time is over"))
    rest, interval = signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with asyncio.Runner(loop_factory=gateway_loop) as runner, pytest.raises(asyncio.CancelledError):
            runner.run(_for_ever())
    finally:
        signal.signal(signal.SIGALRM, usual)
        signal.setitimer(signal.ITIMER_REAL, rest, interval)  # pytest-timeout's own

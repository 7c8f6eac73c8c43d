"""A flood of connects from many addresses, beside many clients that behave: none of these misses a message."""

from __future__ import annotations

import asyncio
import time

from hostile.attacks.connects import KINDS
from hostile.attacks.table import ATTACKS
from hostile.battle import Battle, Latency
from hostile.crowd import Crowd
from hostile.form import LONG, RATIO, either
from hostile.target import say

HEALTHY = either(1_000, 50)
INTERVAL_SECONDS = 1.0
#: How long the idle case is watched.
IDLE_SECONDS = either(10, 2)


async def test_the_others_miss_nothing(battle: Battle) -> None:
    name = "flood of connects"
    async with Crowd(battle.gateway.port, HEALTHY, INTERVAL_SECONDS) as crowd:
        idle = (time.monotonic(), time.monotonic() + IDLE_SECONDS)
        await asyncio.sleep(IDLE_SECONDS)
        async with battle.measuring():
            began = time.monotonic()
            async with battle.under(name):
                pass
            under = (began, time.monotonic())
        sent, missed, faults = await crowd.account()
    figures = battle.figures
    seen = figures.seen
    came = seen["came"]
    latency = Latency.of_windows(crowd.times, [idle], came)
    longest = crowd.times.between(*under)[-1]
    count = ATTACKS[name].arguments["count"]
    if LONG:
        seconds = sum(end - start for start, end in came)
        say(
            f"{count} connects in {seconds:.1f} s, {seen['batches']} at a time, beside {HEALTHY} clients: sent {sent}, "
            f"missed {missed}; round trips idle p50 {latency.idle_50 * 1000:.2f}, p99 {latency.idle_99 * 1000:.2f} ms, "
            f"while they come p50 {latency.under_50 * 1000:.2f}, p99 {latency.under_99 * 1000:.2f} ms "
            f"({latency.under_50 / latency.idle_50:.1f} and {latency.under_99 / latency.idle_99:.1f} x), "
            f"when they leave in one moment {longest * 1000:.0f} ms at most; {figures}"
        )
    assert (missed, faults, figures.faults) == (0, [], [])
    assert latency.ratio <= RATIO, latency
    assert sum(seen["batches"]) == count, "each connection was taken"
    assert {kind: set(answers) for kind, answers in seen["answers"].items()} == {
        kind: {"held" if status is None else f"{status}"} for kind, _, status in KINDS
    }, seen
    assert figures.files_left <= 0
    assert figures.reconnects == 0
    await battle.stop()

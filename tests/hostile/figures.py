"""The table of attacks with their figures: ``make hostile FIGURES=1``; WSGW= another commit's command, ROWS= some only.

Decides nothing: what has to hold, the tests say.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from helpers.nats_server import NatsServer
from hostile import form
from hostile.attacks.table import ATTACKS
from hostile.battle import Battle, Figures, Latency
from hostile.target import say

#: An attack on a gateway that is bad at it may take for ever.
MOST_SECONDS = 200.0
#: Those in the middle of which SIGTERM has to be obeyed too.
_STOPPED_UNDER = ("4 pong frames", "5 refused events", "16 connect and disconnect", "the worst", "1 pipelined requests")
_HEADING = (
    "| attack | memory peak | memory 15 s after | files left | health p50/p99 idle | under attack | echo p50/p99 idle "
    "| under attack | CPU s/s | NATS reconnects | stop s | seen | faults |\n" + "|---" * 13 + "|"
)


def _mib(size: int) -> str:
    return f"{size / form.MIB:+.0f} MiB"


def _ms(seconds: float) -> str:
    return "–" if math.isnan(seconds) else "never" if math.isinf(seconds) else f"{seconds * 1000:.3g}"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "– | –"
    return f"{_ms(latency.idle_50)}/{_ms(latency.idle_99)} ms | {_ms(latency.under_50)}/{_ms(latency.under_99)} ms"


def row(name: str, figures: Figures) -> str:
    """One of the table."""
    cpu = figures.cpu_seconds / max(figures.attack_seconds, 0.001)
    return (
        f"| {name} | {_mib(figures.peak_bytes)} | {_mib(figures.left_bytes)} | {figures.files_left} "
        f"| {_latency(figures.health)} | {_latency(figures.echo)} | {cpu:.2f} | {figures.reconnects:.0f} "
        f"| {figures.stop_seconds:.1f} | {figures.seen} | {'; '.join(figures.faults)} |"
    )


async def measured(name: str, folder: Path) -> Figures:
    """The figures of one attack, on a gateway and a NATS server of its own."""
    nats = NatsServer(folder)
    figures = Figures()
    try:
        async with Battle.begin(folder, nats) as battle:
            figures = battle.figures
            with suppress(Exception):
                async with battle.measuring(), asyncio.timeout(MOST_SECONDS), battle.under(name):
                    pass
            if not battle.watch.alive:
                return figures
            try:
                if name in _STOPPED_UNDER:
                    await battle.stop_under(name)
                else:
                    await battle.stop()
            except AssertionError as error:
                figures.faults.append(f"stop: {f'{error}'.splitlines()[0][:100]}")
    finally:
        nats.stop()
    return figures


async def main(wanted: list[str]) -> None:
    """Print the table: all rows, or those whose names hold one of ``wanted``."""
    print(_HEADING, flush=True)
    for name in ATTACKS:
        if wanted and not any(part in name for part in wanted):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(row(name, await measured(name, Path(folder))), flush=True)
            except Exception as error:
                print(f"| {name} | could not be measured: {error!r:.300} |", flush=True)
        say(f"{name}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    os.nice(5)
    asyncio.run(main([part for part in os.environ.get("ROWS", "").split(",") if part] or sys.argv[1:]))

"""``RESULTS.md``: targets, figures, and how they came about."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.results import Results
from bench.rows import Metric, Row
from bench.systems import System
from bench.targets import Verdict, verdicts

_HOW = """## How it was measured

- Every measurement starts fresh servers on free ports of 127.0.0.1: nats-server, and the system that it feeds. Systems
  take turns within each round, in changing order. Figures are medians over the rounds; the range is that of all rounds.
- CPU is user and system time of the **server's own process** with its threads and children, from `/proc`. The
  nats-server that feeds a system is not in it. nats-server's own row is one process, which also receives the publishes
  (fan-out) or delivers to the subscriber (fan-in): nothing is subtracted.
- *Saturated*: the publisher writes rounds of prepared messages and has two rounds out, so nothing is dropped by anybody
  and no server waits. Systems that write messages one by one get shorter rounds. *Paced*: one message at a time; the
  load generator looks for them every 2 ms, so that no server pays for waking it.
- The load generator is raw sockets and epoll in two processes, and counts by bytes. After each measurement, on the same
  connections, numbered messages are sent, and every client has to get each of them, whole and in order. A run in which
  one does not fails.
- Messages are JSON text of 128 bytes where nothing else is said, each in a WebSocket frame of its own on the way in.
  No compression.
- Latency is from the publisher's write to the client's read, on one clock. Publisher, server, nats-server and load
  generator share the machine.
- Requests are answered by a process on NATS. For wsgw's broker and nats-py a process asks that does nothing else; for
  wsgw itself clients ask, over HTTP on as many connections as requests are out, over Socket.IO on one.
- Stalled clients stop reading, and have small buffers and segments, so that the kernel holds some 100 KB for each.
"""


def render(
    results: Results,
    rows: Sequence[Row],
    systems: Sequence[System],
    skipped: Mapping[str, str],
    facts: Sequence[str],
) -> str:
    """The whole document; ``facts`` are sentences about this run."""
    rows = [row for row in rows if results.measured(row.name)]
    systems = [system for system in systems if any(system.name in results.measured(row.name) for row in rows)]
    parts = ["# Benchmark results\n", *(f"- {fact}" for fact in facts)]
    parts += [f"- {name} is missing: {reason}" for name, reason in skipped.items()]
    parts += ["", "![CPU per message](results.svg)", ""]
    parts += _failures(results)
    parts += _targets(verdicts(results.median))
    parts += [
        "## Figures",
        "",
        "Server CPU per message, unless said; median and range of the rounds; less is better.",
        "",
    ]
    parts += _table(results, rows, systems, None)
    parts += ["## The load generator's own CPU, µs per message", ""]
    parts += _table(results, rows, systems, Metric("load_us", "", "µs"))
    parts += [_HOW, "## Versions", ""]
    parts += [f"- {system.title}: {system.version()}" for system in systems]
    return "\n".join(parts) + "\n"


def machine() -> str:
    """One sentence about where this runs."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, {system}"


def number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.3f}"


def _failures(results: Results) -> list[str]:
    if not results.failures:
        return []
    return ["## Failed", "", *(f"- {failure}" for failure in results.failures), ""]


def _targets(found: Sequence[Verdict]) -> list[str]:
    if not found:
        return []
    lines = ["## Targets", "", "| target | at most | measured | |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {one.what} | {number(one.limit)} | {number(one.value)} | {'met' if one.met else '**missed**'} |"
        for one in found
    ]
    return [*lines, "", f"{sum(one.met for one in found)} of {len(found)} met.", ""]


def _table(results: Results, rows: Sequence[Row], systems: Sequence[System], metric: Metric | None) -> list[str]:
    lines = [
        "| | " + " | ".join(system.title for system in systems) + " |",
        "| --- |" + " ---: |" * len(systems),
    ]
    for row in rows:
        for one in row.metrics if metric is None else (metric,):
            cells = [_cell(results.values(row.name, system.name, one.key)) for system in systems]
            if any(cells):
                title = row.title + (f": {one.label}" if one.label else "")
                lines.append(f"| {title}, {one.unit} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ({number(min(values))}–{number(max(values))})" if len(values) > 1 else ""
    return number(statistics.median(values)) + spread

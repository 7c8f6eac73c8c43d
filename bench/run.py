"""``make bench``: every system in turn, row by row and round by round, then RESULTS.md and results.svg.

Environment: QUICK=1 (fewer rows, once each, short), ROWS and SYSTEMS (names, separated by commas), ROUNDS, OUT (a
folder for the results), CENTRIFUGO (a binary of Centrifugo 6), BEFORE (another commit's ``wsgw``: it takes turns with
this one's, and their ratios are printed). Only a whole run writes next to this file, others to .quick/.
"""

from __future__ import annotations

import datetime
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.chart import draw
from bench.processes import BenchError
from bench.report import machine, number, render
from bench.results import Results
from bench.rows import ROWS, Row
from bench.systems import SYSTEMS, System, paired_with
from bench.targets import verdicts

HERE = Path(__file__).parent
ROUNDS = 3
QUICK_SCALE = 0.3
#: No measurement begins later than this after the start.
LIMIT_SECONDS, QUICK_LIMIT_SECONDS = 3600.0, 105.0

#: Files that a server opens beside its connections, and more.
SPARE_FILES = 200

T = TypeVar("T", Row, System)


def chosen(variable: str, every: Sequence[T], usual: Callable[[T], bool]) -> list[T]:
    """Those that the environment names (a name chooses what begins with it, too), or the usual ones."""
    names = [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]
    if not names:
        return [one for one in every if usual(one)]
    for name in names:
        if not any(one.name == name or one.name.startswith(f"{name}-") for one in every):
            raise BenchError(f"{variable}: there is no {name!r}; there are {', '.join(one.name for one in every)}")
    exact = {one.name for one in every} & set(names)
    return [
        one
        for one in every
        if one.name in exact or any(one.name.startswith(f"{name}-") for name in names if name not in exact)
    ]


def main() -> int:
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: sys.exit(130))  # servers are stopped on the way out
    try:
        return bench()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted, nothing was written", file=sys.stderr)
        return 130


def bench() -> int:
    """The whole run; the exit code."""
    if not sys.platform.startswith("linux"):
        raise BenchError("it needs Linux: /proc and epoll")
    started = time.monotonic()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    rows = chosen("ROWS", ROWS, lambda row: row.default and (row.quick or not quick))
    before = os.environ.get("BEFORE", "")
    wanted = chosen("SYSTEMS", (*SYSTEMS, *(paired_with(Path(before).absolute()) if before else ())), lambda _: True)
    rounds = int(os.environ.get("ROUNDS", "") or (1 if quick else ROUNDS))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    print(f"{machine()}; {files} open files at most", flush=True)

    missing = {system.name: reason for system in wanted if (reason := system.missing())}
    skipped = {system.title: missing[system.name] for system in wanted if system.name in missing}
    skipped |= {
        f"Row {row.name!r}": f"{row.connections} connections are more than the {files} files that may be open"
        for row in rows
        if row.connections > files - SPARE_FILES
    }
    for title, reason in skipped.items():
        print(f"{title} is missing: {reason}", flush=True)
    rows = [row for row in rows if row.connections <= files - SPARE_FILES]
    systems = [system for system in wanted if system.name not in missing]

    results = Results()
    limit = started + (QUICK_LIMIT_SECONDS if quick else LIMIT_SECONDS)
    late = measure(results, rows, systems, rounds, QUICK_SCALE if quick else 1.0, limit)
    minutes = (time.monotonic() - started) / 60
    facts = [f"{datetime.date.today().isoformat()}, {rounds} rounds, {minutes:.0f} minutes.", f"{machine()}."]
    if quick:
        facts.append("A quick run: not for quoting.")
    if late:
        facts.append(f"The time was over before {late} measurements began.")
    whole = not (quick or late or results.failures or os.environ.get("ROWS") or os.environ.get("SYSTEMS") or before)
    folder = Path(os.environ.get("OUT") or (HERE if whole else HERE / ".quick"))
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json")
    (folder / "RESULTS.md").write_text(render(results, rows, systems, skipped, facts))
    (folder / "results.svg").write_text(draw(results, rows, systems))
    for one in verdicts(results.median):
        print(f"{'met   ' if one.met else 'MISSED'}  {one.what}: {number(one.value)} (at most {number(one.limit)})")
    for line in pairs(results, rows, systems):
        print(line)
    for failure in results.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    print(f"{minutes:.1f} minutes; results in {os.path.relpath(folder)}/RESULTS.md", flush=True)
    return 1 if results.failures else 0


def pairs(results: Results, rows: Sequence[Row], systems: Sequence[System]) -> list[str]:
    """This commit beside the one before, a line a figure: the medians' ratio, of which 1.05 is a twentieth worse."""
    found = []
    for row in rows:
        for system in systems:
            for key, label, unit in row.metrics if system.like else ():
                old, new = (results.median(row.name, name, key) for name in (system.name, system.like))
                if old and new is not None:
                    what = f"{row.name} {label}".strip()
                    found.append(f"{new / old:6.3f}  {what}, {system.like}: {number(new)} {unit}, before {number(old)}")
    return found


def measure(
    results: Results, rows: Sequence[Row], systems: Sequence[System], rounds: int, scale: float, limit: float
) -> int:
    """Fill ``results``; how many measurements were left out because it was past ``limit``."""
    late = 0
    for row in rows:
        mine = [system for system in systems if system.kind in row.systems]
        for number_of_round in range(min(rounds, row.rounds)):
            turn = number_of_round % len(mine) if mine else 0
            for system in mine[turn:] + mine[:turn]:
                if time.monotonic() > limit:
                    late += 1
                    continue
                _measure_one(results, row, system, number_of_round, scale)
    return late


def _measure_one(results: Results, row: Row, system: System, number_of_round: int, scale: float) -> None:
    started = time.monotonic()
    try:
        values = row.run(system, scale)
    except BenchError as error:
        results.failures.append(f"{row.name}, {system.title}, round {number_of_round + 1}: {error}")
        said = f"FAILED: {error}"
    else:
        results.add(row.name, system.name, values)
        shown = [f"{metric.label} {number(values[metric.key])} {metric.unit}".strip() for metric in row.metrics]
        said = f"{', '.join(shown)}; load generator {number(values['load_us'])} µs"
    seconds = time.monotonic() - started
    print(f"{row.name:16} {number_of_round + 1}  {system.title:24} {said}  ({seconds:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())

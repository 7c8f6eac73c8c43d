"""The long form (``make fuzz``): all targets, a few processes at a time, a table of figures at the end.

CASES of all targets together; SECONDS a process may take at most; TARGETS patterns of their names; JOBS processes at a
time; SEED a number, for other inputs than with another one; OUT the folder for inputs and findings. Ends with 1 where
there are findings.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from fuzz.table import MODULES, TARGETS
from fuzz.target import Target
from fuzz.targets.connection import NATS_VARIABLE
from helpers.nats_server import NatsServer

_SAID = ("so far", "done")
_TOLD_EVERY_SECONDS = 15.0


@dataclass
class Part:
    """A process of ``target``, and what it said last."""

    target: Target
    shard: int
    cases: int
    done: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    growth_bytes: int = 0
    ended: bool = False
    output: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """It ended before it had said so, or says that memory grew."""
        return bool(self.output)

    def run(self, seconds: float, folder: Path, environment: dict[str, str]) -> None:
        """Returns when it has ended."""
        name = self.target.name
        command = [sys.executable, "-m", "fuzz.worker", MODULES[name], name]
        process = subprocess.Popen(
            [*command, str(self.shard), str(self.cases), str(seconds), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        )
        lines: list[str] = []
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith(_SAID):
                    lines = [*lines[-60:], line]
                    continue
                self.ended = line.startswith("done")
                cases, spent, slowest, growth = line.removeprefix("so far").removeprefix("done").split()
                self.done, self.seconds = int(cases), float(spent)
                self.slowest_seconds, self.growth_bytes = float(slowest), int(growth)
        if process.returncode or not self.ended:
            self.output = [*lines, f"exit code {process.returncode}\n"]
            print(f"a finding: {name}, shard {self.shard}; it is told at the end", flush=True)
        self.ended = True


def parts(cases: int, patterns: list[str], seed: int) -> list[Part]:
    """One for each target, two for the slow ones, which come first."""
    chosen = [target for target in TARGETS.values() if any(fnmatch(target.name, each) for each in patterns)]
    if not chosen:
        raise SystemExit(f"no target is called {' or '.join(patterns)}; there are {', '.join(TARGETS)}")
    shares = sum(target.share for target in chosen)
    found = []
    for target in sorted(chosen, key=lambda target: target.share):
        shards = 2 if target.share < 1 else 1
        found += [
            Part(target, shard, max(1, round(cases * target.share / shares / shards)))
            for shard in range(seed, seed + shards)
        ]
    return found


def tell(running: list[Part], began: float, stop: threading.Event) -> None:
    """A line of progress now and then."""
    wanted = sum(part.cases for part in running)
    while not stop.wait(_TOLD_EVERY_SECONDS):
        done = sum(part.done for part in running)
        at = ", ".join(f"{part.target.name}/{part.shard}" for part in running if part.done and not part.ended)
        failed = sum(part.failed for part in running)
        print(f"{time.monotonic() - began:5.0f} s  {done:,} of {wanted:,} cases, {failed} findings; {at}", flush=True)


def table(of: list[Part]) -> str:
    """A row for each target."""
    lines = ["| target | cases | seconds | slowest case | memory | findings |", "| --- | --- | --- | --- | --- | --- |"]
    for name in dict.fromkeys(part.target.name for part in of):
        those = [part for part in of if part.target.name == name]
        slowest = 1000 * max(part.slowest_seconds for part in those)
        growth = max(part.growth_bytes for part in those) / 1024**2
        seconds, cases = sum(part.seconds for part in those), sum(part.done for part in those)
        failed = sum(part.failed for part in those)
        lines.append(f"| {name} | {cases:,} | {seconds:.0f} | {slowest:.0f} ms | +{growth:.1f} MiB | {failed} |")
    return "\n".join(lines)


def main() -> int:
    """See the module."""
    logging.disable(logging.WARNING)
    seed = 2 * int(os.environ.get("SEED") or 0)
    wanted = parts(int(os.environ.get("CASES") or 1_000_000), (os.environ.get("TARGETS") or "*").split(","), seed)
    seconds = float(os.environ.get("SECONDS") or 3600)
    jobs = int(os.environ.get("JOBS") or min(2, os.cpu_count() or 1))
    folder = Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="wsgw-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    guided = os.environ.get("WSGW_FUZZ_ENGINE") != "own" and importlib.util.find_spec("atheris") is not None
    print(f"by {'atheris, coverage-guided' if guided else 'our own mutations'}; inputs and findings in {folder}")
    nats = NatsServer(folder)
    began, stop = time.monotonic(), threading.Event()
    teller = threading.Thread(target=tell, args=(wanted, began, stop))
    teller.start()
    try:
        environment = {**os.environ, NATS_VARIABLE: nats.url, "PYTHONPATH": os.pathsep.join(sys.path)}
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda part: part.run(seconds, folder, environment), wanted))
    finally:
        stop.set()
        teller.join()
        nats.stop()
    print(table(wanted))
    print(f"{sum(part.done for part in wanted):,} cases in {time.monotonic() - began:.0f} s")
    failed = [part for part in wanted if part.failed]
    for part in failed:
        print(f"\n{part.target.name}, shard {part.shard}:\n{''.join(part.output)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

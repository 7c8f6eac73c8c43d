"""``make mutants``: breaks the core one place at a time, and says which breaks no test notices.

The package is copied and broken in the copy; the tests of the broken module (those of its own, and those that
``MODULES`` names) run until one fails. A hang is noticed too. Those of ``tests/mutants/equivalent.txt`` behave as the
original does, for the reason given there, and are not run. The end is 1 when of a module's others a smaller share than
``BELOW`` percent was noticed.

The environment says SEED, MODULES (patterns of names, as ``fanout.* shares.slices``), N (mutants a module, 0: all),
JOBS and BELOW. No tool does this: mutmut and cosmic-ray neither sample by seed nor keep reasons outside the source,
cosmic-ray breaks the working tree, removes no statements and no conditions.
"""

from __future__ import annotations

import fnmatch
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mutated import WSGW, House, MutantsError, read_equivalent
from mutations import Mutant, broken, mutants
from testrunner import Outcome, Runner

#: A run has this and so many times what the tests take on the original; after it, it hangs.
GRACE_SECONDS, GRACE_FACTOR = 5.0, 4.0

#: To the beginning of the line, and nothing on it.
_CLEAR = "\r\033[K"


@dataclass
class Result:
    """What became of the mutants of one module."""

    module: str
    killed: int = 0
    hung: int = 0  # of those killed
    equivalent: int = 0
    alive: list[Mutant] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """The share noticed of those that are not equivalent."""
        others = self.killed + len(self.alive)
        return 100 * self.killed / others if others else 100.0

    def __str__(self) -> str:
        hung = f" ({self.hung} hung)" if self.hung else ""
        counts = f"{self.killed} killed{hung}, {len(self.alive)} alive, {self.equivalent} equivalent"
        return f"{self.module}: {self.percent:.0f} % noticed: {counts}"


def chosen(house: House, module: str, seed: str, count: int) -> list[Mutant]:
    """``count`` mutants of ``module``, in its order; all of them for 0. The same seed and source choose the same."""
    every = mutants(module, house.path_of(module).read_text(encoding="utf-8"))
    picked = random.Random(f"{seed} {module}").sample(range(len(every)), min(count or len(every), len(every)))
    return [every[index] for index in sorted(picked)]


def stale(house: House, equivalent: Iterable[str]) -> list[str]:
    """The entries of the list that are no mutant (any more)."""
    keys: set[str] = set()
    for module in house.modules:
        if house.path_of(module).exists():
            keys.update(each.key for each in mutants(module, house.path_of(module).read_text(encoding="utf-8")))
    return [key for key in equivalent if key not in keys]


class Copy:
    """The package elsewhere, and what runs tests on it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._package = self._folder / house.package.name
        shutil.copytree(house.package, self._package, ignore=shutil.ignore_patterns("__pycache__"))
        self._writes = 0
        self._runner = Runner(house.root, self._folder, house.libraries)

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def original(self, tests: Sequence[Path]) -> float:
        """The seconds that ``tests`` take; raises MutantsError when they fail."""
        began = 0.0
        for _ in range(2):  # the first time compiles
            began = time.monotonic()
            outcome, output = self._runner.run(tests, timeout_seconds=600)
            if outcome is not Outcome.PASSED:
                raise MutantsError(f"the tests fail on the original:\n{output}")
        return time.monotonic() - began

    def broken(self, mutant: Mutant, tests: Sequence[Path], timeout_seconds: float) -> Outcome:
        """What ``tests`` say of ``mutant``."""
        path = self._package / self._house.path_of(mutant.module).relative_to(self._house.package)
        original = path.read_text(encoding="utf-8")
        try:
            self._write(path, broken(mutant, original))
            return self._runner.run(tests, timeout_seconds)[0]
        finally:
            self._write(path, original)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        self._writes += 1
        os.utime(path, (self._writes, self._writes))  # what is compiled is kept by second and size


def check(house: House, module: str, picked: Sequence[Mutant], equivalent: Iterable[str], jobs: int = 1) -> Result:
    """Run the tests of ``module`` on each of ``picked``; tell every one alive as it is found."""
    result = Result(module)
    tests = house.tests_of(module)
    known = set(equivalent)
    wanted = [mutant for mutant in picked if mutant.key not in known]
    result.equivalent = len(picked) - len(wanted)
    with ExitStack() as stack:
        copies = [stack.enter_context(Copy(house)) for _ in range(jobs)]
        limit = GRACE_SECONDS + GRACE_FACTOR * copies[0].original(tests)

        def work(copy: Copy, share: Sequence[Mutant]) -> None:
            for mutant in share:
                outcome = copy.broken(mutant, tests, limit)
                if outcome is Outcome.PASSED:
                    result.alive.append(mutant)
                    _tell_alive(house, mutant)
                else:
                    result.killed += 1
                    result.hung += outcome is Outcome.HUNG
                _progress(f"{module}: {result.killed + len(result.alive)} of {len(wanted)}")

        with ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(work, copy, wanted[number::jobs]) for number, copy in enumerate(copies)]:
                done.result()
    result.alive.sort(key=lambda mutant: mutant.line)
    return result


def _tell_alive(house: House, mutant: Mutant) -> None:
    path = house.path_of(mutant.module).relative_to(house.root)
    number = f"  (#{mutant.number})" if mutant.number > 1 else ""
    _say(f"{path}:{mutant.line} {mutant.where}{number}\n-   {mutant.before}\n+   {mutant.after}")


def _progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"{_CLEAR}{text}", end="", flush=True)


def _say(text: str) -> None:
    print(f"{_CLEAR if sys.stdout.isatty() else ''}{text}", flush=True)


def run(house: House, environment: Mapping[str, str]) -> list[Result]:
    """Of each module that the environment chooses, told as it comes; raises MutantsError."""
    seed, count = environment.get("SEED", "1"), int(environment.get("N", "40"))
    patterns = environment.get("MODULES", "*").replace(",", " ").split()
    names = [name for name in house.modules if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        raise MutantsError(f"MODULES={' '.join(patterns)}: none of {', '.join(house.modules)}")
    equivalent = read_equivalent(house.equivalent)
    if gone := stale(house, equivalent):
        raise MutantsError(f"{house.equivalent}: no such mutant: {gone[0]}")
    results = []
    for name in names:
        picked = chosen(house, name, seed, count)
        results.append(check(house, name, picked, equivalent, int(environment.get("JOBS", "1"))))
        _say(str(results[-1]))
    return results


def main(house: House, environment: Mapping[str, str]) -> int:
    """The exit code."""
    below = float(environment.get("BELOW", "90"))
    try:
        weak = [result.module for result in run(house, environment) if result.percent < below]
    except MutantsError as error:
        print(error, file=sys.stderr)
        return 2
    if weak:
        print(f"below {below:g} %: {', '.join(weak)}")
    return int(bool(weak))


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main(WSGW, os.environ))

"""Runs tests many times, against a package that changes meanwhile: a process that has loaded the libraries forks.

Loading them is most of what a short run costs.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path

#: A run that takes more memory than this fails, before the machine does.
MAX_BYTES = 8 * 1024**3
POLL_SECONDS = 0.01
#: Random tests try the same in every run, and lose no time with what a failure could be reduced to.
PROFILE = """
from hypothesis import Phase, settings
settings.register_profile("mutants", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
"""
ARGUMENTS = [
    *("-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "mutants_profile", "--hypothesis-profile=mutants"),
    # the libraries are loaded before pytest's hook; their asserts are not the tests'
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
]


class Outcome(Enum):
    """Of a run."""

    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"


class Runner:
    """Tests run in the folder ``root``; packages in the folder ``first`` stand before installed ones.

    ``libraries`` are loaded once: what is in ``first`` is no part of them.
    """

    def __init__(self, root: Path, first: Path, libraries: Sequence[str]) -> None:
        (first / "mutants_profile.py").write_text(PROFILE, encoding="utf-8")
        self._output = first / "output.txt"
        environment = {**os.environ, "PYTHONPATH": str(first), "PYTHONPYCACHEPREFIX": str(first / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all of it takes longer than most tests
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._output, *libraries],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, tests: Sequence[Path], timeout_seconds: float) -> tuple[Outcome, str]:
        """Until the first failure; with what pytest printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([[str(test) for test in tests], timeout_seconds]), file=self._process.stdin, flush=True)
        said = self._process.stdout.readline().strip()
        return Outcome(said), self._output.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve(output: Path, libraries: Sequence[str]) -> None:
    for library in ("pytest", *libraries):
        with suppress(ImportError):
            importlib.import_module(library)
    for line in sys.stdin:
        tests, timeout_seconds = json.loads(line)
        child = os.fork()
        if not child:
            _test(tests, output)
        print(_outcome(child, timeout_seconds).value, flush=True)


def _test(tests: list[str], output: Path) -> None:
    """In the child; does not return."""
    import pytest

    os.setsid()
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    code = 1
    try:
        code = pytest.main([*ARGUMENTS, *tests])
    except BaseException:  # nothing of it may reach the process that forks
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _outcome(child: int, timeout_seconds: float) -> Outcome:
    until = time.monotonic() + timeout_seconds
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        ended, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):  # it and the servers that it started
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        return Outcome.HUNG
    return Outcome.FAILED if status else Outcome.PASSED


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])

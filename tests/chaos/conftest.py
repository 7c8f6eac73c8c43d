"""Folders for fields, and the table of all runs at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.report import Run, table

RUNS: pytest.StashKey[list[Run]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RUNS] = []


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> list[Run]:
    """Those of the session."""
    return request.config.stash.setdefault(RUNS, [])


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    numbers = iter(range(10_000))

    def make(name: str) -> Path:
        made = tmp_path / f"{name}{next(numbers)}"
        made.mkdir()
        return made

    return make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(RUNS, [])
    if found and "CHAOS_RUNS" in os.environ:
        terminalreporter.section("chaos")
        for line in table(found):
            terminalreporter.write_line(line)

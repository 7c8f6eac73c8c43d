"""The threats of docs/threats.md: every test and setting that is named exists, and what attacks is named."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/threats.md").read_text()
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`")
_KEY = re.compile(r"^\| `([\w.\[\]]+)` \|", re.MULTILINE)


class Threat(NamedTuple):
    """A row; ``tests`` are file and function."""

    name: str
    control: str
    settings: list[str]
    tests: list[tuple[str, str]]


def threats() -> list[Threat]:
    found = []
    for line in PAGE.splitlines():
        if line.startswith("| **"):
            name, control, settings, tests = (cell.strip() for cell in line[1:-1].split("|"))
            found.append(Threat(name, control, re.findall(r"`([^`]+)`", settings), _TEST.findall(tests)))
            assert tests == ", ".join(f"`{file}::{test}`" for file, test in found[-1].tests), line
    return found


@cache
def functions_of(file: str) -> frozenset[str]:
    """The names of its test functions."""
    tree = ast.parse((ROOT / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_"))


def test_there_are_threats() -> None:
    """The table was read."""
    assert len(threats()) > 30
    assert len(threats()) == PAGE.count("\n| **")
    assert PAGE.count("::test_") == sum(len(threat.tests) for threat in threats())


@pytest.mark.parametrize("threat", threats(), ids=lambda threat: threat.name[2:40])
def test_a_threat(threat: Threat) -> None:
    assert threat.control
    assert threat.tests, "no test shows it"
    for file, test in threat.tests:
        assert (ROOT / file).is_file(), file
        assert test in functions_of(file), f"{file}::{test}"
    keys = set(_KEY.findall((ROOT / "docs/configuration.md").read_text()))
    for setting in threat.settings:
        assert any(key == setting or key.startswith(f"{setting}.") for key in keys), setting


def test_every_kind_of_attack_has_its_threat() -> None:
    named = {file for threat in threats() for file, _ in threat.tests}
    hostile = {f"{file.relative_to(ROOT)}" for file in (ROOT / "tests/hostile").glob("test_*.py")}
    assert hostile - named == set()


def test_the_pages_lead_to_one_another() -> None:
    """And what is not defended is said."""
    assert "## What is not defended" in PAGE
    assert "(threats.md)" in (ROOT / "docs/security.md").read_text()
    policy = (ROOT / "SECURITY.md").read_text()
    assert "docs/threats.md#what-is-not-defended" in policy
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", policy), "an address that nobody reads"

"""What is made of pip-audit's answer: a failure only where there is a vulnerability."""

from __future__ import annotations

import json

import audit

GOOD = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
BAD = {
    "name": "c",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}, {"id": "X", "fix_versions": []}],
}


def verdict(*dependencies: object) -> tuple[int, str]:
    return audit.verdict(json.dumps({"dependencies": dependencies, "fixes": []}), "")


def test_none() -> None:
    assert verdict(GOOD, SKIPPED) == (0, "pip-audit: 1 of 2 packages looked at, 0 known vulnerabilities")


def test_some() -> None:
    code, told = verdict(GOOD, BAD)
    assert code == 1
    assert told.splitlines() == [
        "pip-audit: 2 of 2 packages looked at, 2 known vulnerabilities",
        "c 2: PYSEC-1, fixed in 3",
        "c 2: X, fixed in no version yet",
    ]


def test_a_service_that_knows_nothing_has_looked_at_nothing() -> None:
    assert verdict(SKIPPED, SKIPPED) == (
        0,
        "pip-audit skipped, its service knows none of 2 packages: "
        "Dependency not found on PyPI and could not be audited: b (1)",
    )


def test_a_service_that_is_not_reached() -> None:
    said = "WARNING: x\nERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed\n"
    assert audit.verdict("", said) == (
        0,
        "pip-audit skipped, its service cannot be reached: "
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
    )
    assert audit.verdict("", "")[0] == 0

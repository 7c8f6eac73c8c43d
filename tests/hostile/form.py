"""Which form of the suite runs: a short one in ``make test``, the long one by ``make hostile`` (WSGW_HOSTILE=long)."""

from __future__ import annotations

import os
from collections.abc import Iterable

LONG = os.environ.get("WSGW_HOSTILE") == "long"

MIB = 1024 * 1024
#: What an attack may add to the gateway's memory at most, and what may be left of it. The short form sends less.
PEAK_BYTES = 150 * MIB if LONG else 60 * MIB
LEFT_BYTES = 50 * MIB if LONG else 25 * MIB
#: When it is looked at what is left.
REST_SECONDS = 15.0
#: How long it may take until the connections of attackers that have gone are closed, all they sent having been read.
CLOSED_SECONDS = 90.0
#: How long the idle case is watched, to compare with.
IDLE_SECONDS = 3.0 if LONG else 0.7
#: How long an attack goes on before a stop in the middle of it.
UNDER_SECONDS = 3.0 if LONG else 0.5
#: SIGTERM to exit, at default settings.
STOP_SECONDS = 8.0
#: The 99th percentile under attack is at most so many times that of the idle case, which counts as one of
#: LEAST_IDLE_SECONDS at least: under 250 ms on a quiet machine.
RATIO = 50.0 if LONG else 100.0
LEAST_IDLE_SECONDS = 0.005


def groups(names: Iterable[str]) -> list[list[str]]:
    """For tests that take one or more of ``names``: each by itself, in the short form all at once."""
    return [[name] for name in names] if LONG else [list(names)]


def either(long: int, short: int) -> int:
    """How much of something this form does."""
    return long if LONG else short

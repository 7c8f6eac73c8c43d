"""Heads and bodies without an end: little of them is taken, and what is not taken is answered."""

from __future__ import annotations

import pytest

from hostile.attacks.table import ATTACKS
from hostile.battle import Battle
from hostile.form import LONG, MIB

#: What is read of a client that was refused, so that it gets its answer, and what the system holds on the way.
TAKEN_BYTES = 72 * MIB
ANSWERS = {
    "header line": {"431"},
    "headers": {"431"},
    "URL": {"414"},
    "method": {"400", "414"},
    "trailers": {"431"},
    "chunk extension": {"400", "413", "431"},
    "handshake's header line": {"431"},
    "handshake's headers": {"431"},
}
HEADS = [name for name in ATTACKS if "endless" in name and "19" not in name] if LONG else ["2, 3 endless heads"]


@pytest.mark.parametrize("what", HEADS)
async def test_endless_heads(battle: Battle, what: str) -> None:
    seen = await battle.fight(what)
    for name, answer in seen["answers"].items():
        assert answer in ANSWERS[name], (name, seen)
        assert seen["taken"][name] < TAKEN_BYTES, (name, seen)


async def test_endless_bodies_to_nothing(battle: Battle) -> None:
    """Paths that take no body: they are refused as ever, and the body is not read."""
    seen = await battle.fight("19 endless bodies to nothing")
    assert set(seen["answers"].values()) <= {"404", "405", "413"}, seen
    assert seen["taken"] < TAKEN_BYTES * len(seen["answers"]), seen


async def test_headers_of_sessions(battle: Battle) -> None:
    """What a handshake said is not kept with the session: 36 MB in the short form."""
    seen = await battle.fight("9 handshakes with 60 KB")
    assert set(seen["statuses"]) <= {"200", "503"}, seen


@pytest.mark.skipif(not LONG, reason="the long form's")
async def test_large_headers_of_sessions(battle: Battle) -> None:
    seen = await battle.fight("9 handshakes with 1 MB")
    assert set(seen["statuses"]) == {"431"}, seen

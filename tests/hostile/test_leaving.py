"""Clients that go in the middle of everything, and clients that come only to go."""

from __future__ import annotations

from hostile.battle import Battle


async def test_resets(battle: Battle) -> None:
    await battle.fight("resets")


async def test_connects_and_disconnects(battle: Battle) -> None:
    seen = await battle.fight("connects and disconnects")
    assert seen["failed"] == 0, seen

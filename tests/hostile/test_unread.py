"""Clients that do not read what is published to them, and then go: nothing of it stays."""

from __future__ import annotations

from hostile.battle import Battle


async def test_what_they_did_not_read_is_given_back(battle: Battle) -> None:
    await battle.fight("11 clients that do not read")

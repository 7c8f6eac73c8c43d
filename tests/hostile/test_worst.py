"""The measure: 100 connections that send the worst bytes there are, at full speed."""

from __future__ import annotations

from hostile.battle import Battle
from hostile.figures import row
from hostile.target import say


async def test_others_get_their_share(battle: Battle) -> None:
    try:
        await battle.fight("the worst", again=True)
    finally:
        say(row("the worst", battle.figures))

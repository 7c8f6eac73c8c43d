"""Polling sessions: many of them, large POSTs, nothing fetched."""

from __future__ import annotations

import pytest

from hostile.battle import Battle


@pytest.mark.parametrize("what", ["refused events", "connects"])
async def test_posts_and_no_poll(battle: Battle, what: str) -> None:
    """What a session has to be told and does not fetch is bounded."""
    await battle.fight(f"8 posts of {what}")


async def test_sessions_that_do_not_connect(battle: Battle) -> None:
    """The oldest of them go: who connects at once is let in all the time."""
    seen = await battle.fight("10 sessions without a CONNECT")
    assert (seen["refused"], seen["first"], seen["last"]) == (0, 400, 200), seen

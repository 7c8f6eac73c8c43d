"""Many requests on one connection, whose answers nobody reads."""

from __future__ import annotations

from hostile.battle import Battle


async def test_answers_not_read(battle: Battle) -> None:
    await battle.fight("1 pipelined requests", again=True)


async def test_posts_then_a_reset(battle: Battle) -> None:
    """Nothing is logged about clients that just went (``fight`` looks)."""
    await battle.fight("12 posts, then a reset")


async def test_requests_behind_streams(battle: Battle) -> None:
    """They are not answered, nor kept; what the streams do not take is dropped for them alone."""
    await battle.fight("12 requests behind streams")

"""Many who never finish what they began, and what is kept for them: they cost little, and lose first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from helpers.nats_server import NatsServer
from hostile.attacks.frames import PIECES
from hostile.attacks.table import ATTACKS
from hostile.battle import Battle
from hostile.form import LONG, MIB


async def test_slow_handshakes_and_frames(battle: Battle) -> None:
    """In the long form pings end them, and the clock that a handshake has; a stop does in either."""
    seen = await battle.fight("slow handshakes and frames", again=True)
    each = ATTACKS["slow handshakes and frames"].arguments["each"]
    if LONG:  # a pong cannot be sent within a frame, and was not sent between fragments
        assert set(seen.values()) == {each}, seen


async def test_messages_without_an_end(nats: NatsServer, tmp_path: Path) -> None:
    """Bombs of fragments, attachments, long frames: bounded together, and those of whom most is kept are ended."""
    memory = 32 * MIB
    async with Battle.begin(tmp_path, nats, limits={"memory": memory}) as battle:
        async with battle.measuring(), battle.under("messages without an end"):
            pass
        count = await asyncio.to_thread(battle.gateway.metric, "wsgw_closes_total", code="4008")
        battle.figures.check()
        arguments = ATTACKS["messages without an end"].arguments
        wanted = arguments["connections"] * len(PIECES) * arguments["size"]
        assert count > 0, (count, wanted, battle.figures)
        await battle.stop()

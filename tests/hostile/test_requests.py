"""Requests that nobody answers: who asks too much is refused, and no one else."""

from __future__ import annotations

import asyncio

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import eventually
from hostile.battle import Battle
from hostile.form import either


async def test_a_silent_responder(battle: Battle, nats: NatsServer) -> None:
    """While one client's requests wait, those of others are answered."""
    peer = await Peer.connect(nats.url)
    try:
        await peer.answer("sum", lambda payload: payload)
        asked = await peer.listen("silent")
        async with battle.measuring(), battle.under("13 requests to a silent responder"):
            await eventually(lambda: len(asked) >= 1000, "requests wait")
            for number in range(either(100, 20)):
                assert await battle.gateway.post("/request/sum", b"%d" % number) == (200, "")
                await asyncio.sleep(0.01)
    finally:
        await peer.close()
    battle.figures.check()
    await battle.stop()

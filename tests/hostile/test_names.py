"""Names of a pattern: one client cannot take them all."""

from __future__ import annotations

from pathlib import Path

from websockets.frames import Opcode

from helpers.nats_server import NatsServer
from helpers.raw import RawClient, frame
from hostile.attacks.socketios import subscribe
from hostile.battle import Battle

MOST_NAMES = 3000


async def test_one_client_takes_all_names(nats: NatsServer, tmp_path: Path) -> None:
    """It is refused beyond its share; others get new names, which work."""
    async with Battle.begin(tmp_path, nats, max_subjects=MOST_NAMES) as battle:
        async with battle.measuring():
            made, acks = await subscribe(battle.target, MOST_NAMES + 500)
            with made:
                assert len(acks) == MOST_NAMES + 500
                assert 0 < acks.count(True) <= MOST_NAMES / 2
                other = await RawClient.open(battle.gateway, "/ws/chat.fresh")
                await other.send_bytes(frame(Opcode.TEXT, b"hello"))
                assert bytes((await other.receive()).data) == b"hello"
                other.close()
        battle.figures.check()
        await battle.stop()

"""One address floods a gateway with connects; those of others feel nothing, and it gets no more than it may."""

from __future__ import annotations

from pathlib import Path

from helpers.nats_server import NatsServer
from hostile.battle import Battle
from hostile.figures import row
from hostile.target import say

#: There is no proxy: each address of this machine counts by itself.
LIMITS = {
    "trusted_proxies": [],
    "limits": {
        "address": {"connections": 60, "connects_per_second": 20, "messages_per_second": 100},
        "burst": "1s",
    },
}


async def test_connects_of_one_address(nats: NatsServer, tmp_path: Path) -> None:
    async with Battle.begin(tmp_path, nats, **LIMITS) as battle:
        try:
            seen = await battle.fight("connects of one address")
        finally:
            say(row("connects of one address", battle.figures))
        statuses = seen["statuses"]
        assert statuses.keys() <= {"101", "200", "stream", "202", "429", "stream refused"}, statuses
        most = 20 * battle.figures.attack_seconds + 20
        assert 19 <= sum(statuses.get(each, 0) for each in ("101", "200", "stream")) <= most, statuses
        assert statuses["429"] > statuses["101"], statuses

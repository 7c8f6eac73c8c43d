"""npm's socket.io-client with connection state recovery, in a process of its own, behind a proxy that can be cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.node_program import NodeProgram
from helpers.proxy import Proxy
from helpers.waiting import eventually

_SCRIPT = Path(__file__).parents[1] / "integration" / "recovering.cjs"


class RecoveringClient(NodeProgram):
    """``lines`` is what happened: ``connect`` and whether it recovered, ``disconnect``, ``ack``, and events."""

    @classmethod
    async def start(cls, proxy: Proxy, transports: str = "websocket", **query: str) -> RecoveringClient:
        """One that is connected through ``proxy``."""
        made = cls()
        said = json.dumps({"recovery": "1", **query})
        await made.run(_SCRIPT, f"http://127.0.0.1:{proxy.port}", transports, said)
        await made.connected(1)
        return made

    async def connected(self, times: int) -> list[bool]:
        """Returns when it has connected so often; whether it recovered, each time."""
        await eventually(lambda: len(self.named("connect")) >= times, f"connected {times} times")
        return [line[1] for line in self.named("connect")]

    def named(self, *names: str) -> list[list[Any]]:
        """The lines of those names."""
        return [line for line in self.lines if line[0] in names]

    def payloads(self, *names: str) -> list[Any]:
        """The first arguments of events of those names."""
        return [line[1] for line in self.named(*names)]

    async def emit(self, *event: object) -> list[Any]:
        """Emit ``event``; what its ack says."""
        before = len(self.named("ack"))
        self.tell(event)
        await eventually(lambda: len(self.named("ack")) > before, f"an ack of {event}")
        return self.named("ack")[before][1:]

"""A pattern bridge on a nats-server, with sessions, a peer, and what the server says of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial

import httpx

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.stack import Stack
from helpers.waiting import DEADLINE_SECONDS
from wsgw.bridges.base import OnRefused
from wsgw.bridges.pattern import PatternBridge
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import GatewayError

CHAT = Channel("chat.*", Direction.BOTH, "rooms.*")


class Rooms:
    """A pattern bridge on a server of its own, and a peer that publishes."""

    def __init__(self, server: NatsServer, stack: Stack) -> None:
        self.server = server
        self.stack = stack
        self.bridge = PatternBridge(CHAT, stack.broker, stack.hub, 3)
        self.refused: list[str] = []
        self._sessions: defaultdict[str, list[OnRefused]] = defaultdict(list)
        self.peer: Peer

    def no(self, error: GatewayError) -> None:
        self.refused.append(error.kind.name)

    async def join(self, name: str) -> list[bytes]:
        """Subscribe a session to ``name``; its payloads."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            refused = partial(self.no)  # no other session has it
            ready = self.bridge.join(name, refused)
            self._sessions[name].append(refused)
            if ready is not None:
                await ready
        return self.stack.listen(CHAT, name)

    def leave(self, name: str) -> None:
        if self._sessions[name]:
            self.bridge.leave(name, self._sessions[name].pop())

    async def subjects(self) -> list[str]:
        """What the gateway is subscribed to at NATS."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.server.monitoring}/subsz", params={"subs": "1"})
        subjects = [entry["subject"] for entry in answer.json()["subscriptions_list"]]
        return sorted(subject for subject in subjects if subject.startswith("rooms."))

    async def at_nats(self, *subjects: str) -> None:
        """Returns when exactly these are subscribed to."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.subjects() != sorted(subjects):  # noqa: ASYNC110  the server tells nobody
                await asyncio.sleep(0.01)


class Delay:
    """A ``Backoff`` that writes down what it is told; ``seconds`` is what is waited."""

    seconds = 0.0

    def __init__(self, *of: float) -> None:
        self.told: list[str] = []

    def next(self) -> float:
        self.told.append("next")
        return self.seconds

    def reset(self) -> None:
        self.told.append("reset")

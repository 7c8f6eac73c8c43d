"""The parts between NATS and sessions, put together for a test: broker, hub, and bridges that it stops at the end."""

from __future__ import annotations

import asyncio

from helpers.fanout import FakeLink, no_overflow
from wsgw.bridges.base import Bridge
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.fanout.frames import Message
from wsgw.fanout.gap import Gap
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded, Publication
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics


class PlainWire:
    """A payload is one message."""

    transport = "websocket"

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        return Encoded(Message(False, publication.payload))

    def dropped(self, name: str, count: int) -> None:
        """It is not told."""


#: Listeners have it in common, as the clients of a surface have its wire.
PLAIN = PlainWire()
#: What a listener writes down of a gap.
GAP = b"(gap)"


class Listener(Sender):
    """Collects the payloads that are written to it, and ``GAP`` where it is told of one."""

    __slots__ = ("payloads",)

    def __init__(self) -> None:
        super().__init__(PLAIN, OutboxTotals(), no_overflow)
        link = FakeLink(self)
        self.payloads = link.data
        self.session = self
        self.attach(link)

    def dropped(self, batch: Batch, count: int) -> None:
        """Nobody is told."""

    def gapped(self, name: str, gap: Gap) -> None:
        self.payloads.append(GAP)


class Stack:
    """Needs a running loop. ``connect`` it first, which makes its broker and hub, ``start`` bridges, ``stop`` it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self._bridges: list[Bridge] = []

    broker: Broker
    hub: Hub

    async def connect(self, url: str, *, wait: bool = True) -> None:
        """Connect to ``url``; with ``wait`` it returns when that is done."""
        self.broker = Broker([url], self.metrics)
        self.hub = Hub(self.metrics, self.broker.turn, asyncio.get_running_loop().time, self.broker)
        await self.broker.start()
        if wait:
            async with asyncio.timeout(30):
                await self.broker.wait_connected()

    def start(self, bridge: Bridge) -> None:
        """Start ``bridge``, and stop it at the end."""
        bridge.start()
        self._bridges.append(bridge)

    def listen(self, channel: Channel, name: str) -> list[bytes]:
        """The payloads that the hub delivers under ``name``: a list that grows."""
        listener = Listener()
        self.hub.subscribe(channel, name, listener)
        return listener.payloads

    async def stop(self) -> None:
        """Stop everything."""
        for bridge in self._bridges:
            await bridge.stop()
        await self.broker.stop(0.1)

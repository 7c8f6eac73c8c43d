"""A durable bridge on a nats-server with JetStream, clients that write down what comes, and a peer that publishes."""

from __future__ import annotations

import asyncio

import orjson
from nats.errors import Error as NatsError

from helpers.fanout import FakeLink
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.stack import Stack
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.bridges.base import BridgeState
from wsgw.bridges.durable import DurableBridge
from wsgw.bridges.following import Following
from wsgw.bridges.place import Coming, Place
from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.channels.durable import Durable
from wsgw.channels.start import NOW, Start
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Encoded, Publication, StreamPublication
from wsgw.fanout.sender import Sender
from wsgw.shares.memory import Memory
from wsgw.shares.slices import Slices


def durable(name: str = "orders", subject: str = "", stream: Durable | None = None) -> Channel:
    """A durable channel whose stream is ``S``."""
    held = stream or Durable("S")
    return Channel(name, Direction.BOTH, subject, slow_consumer=SlowConsumer.DISCONNECT, durable=held)


class SequenceWire:
    """A publication is its sequence and its payload."""

    transport = "websocket"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        assert isinstance(publication, StreamPublication)
        self.encoded += 1
        return Encoded(Message(True, b"%d %b" % (publication.sequence, publication.payload)))

    def dropped(self, name: str, count: int) -> None:
        """Nothing is."""


WIRE = SequenceWire()


class Follower:
    """A client of a durable channel. ``link.pause`` and ``link.resume`` are what its connection does."""

    def __init__(self, bridge: DurableBridge, name: str, start: Start = NOW) -> None:
        self.overflowed = 0
        self.sender = Sender(WIRE, OutboxTotals(), self._overflow)
        self.link = FakeLink(self.sender)
        self.sender.attach(self.link)
        self.places: list[Place] = []
        self.placed_after: list[int] = []  # how much had come
        self.following: Following = bridge.follow(name, self.sender, start, self._told)

    def _overflow(self) -> None:
        self.overflowed += 1
        self.sender.close()

    def _told(self, place: Place) -> None:
        self.places.append(place)
        self.placed_after.append(len(self.link.data))

    @property
    def sequences(self) -> list[int]:
        return [int(data.split()[0]) for data in self.link.data]

    @property
    def payloads(self) -> list[bytes]:
        return [data.partition(b" ")[2] for data in self.link.data]

    @property
    def coming(self) -> list[Coming]:
        return [place.coming for place in self.places]

    @property
    def position(self) -> dict[str, int]:
        """Where it stands, as it would say when it comes back."""
        data = self.link.data
        return {self.places[-1].identity: int(data[-1].split()[0]) if data else self.places[-1].sequence}

    def end(self) -> None:
        self.following.end()
        self.sender.close()


class Durables:
    """The bridge of ``channel``, and a peer. ``open`` it first."""

    def __init__(self, server: NatsServer, stack: Stack, channel: Channel) -> None:
        self.server = server
        self.stack = stack
        self.channel = channel
        self.memory = Memory()
        self.peer: Peer
        self.bridge: DurableBridge

    async def open(self, url: str = "") -> None:
        """Connect the bridge, by another ``url`` than the server's where given, and the peer."""
        await self.stack.connect(url or self.server.url)
        self.peer = await Peer.connect(self.server.url)
        self.bridge = self.make()
        self.stack.start(self.bridge)
        await self.subscribed()

    def make(self) -> DurableBridge:
        slices = Slices(asyncio.get_running_loop())
        return DurableBridge(self.channel, self.stack.broker, self.stack.hub, self.memory, slices)

    async def subscribed(self) -> None:
        await eventually(lambda: self.bridge.state is BridgeState.SUBSCRIBED, "the bridge is subscribed")

    def follow(self, start: Start = NOW, name: str = "") -> Follower:
        return Follower(self.bridge, name or self.channel.name, start)

    async def publish(self, *payloads: str | int, subject: str = "", to_end: bool = True) -> int:
        """Have them stored, in order; the sequence of the last one. Returns when the bridge has it, too."""
        sequence = 0
        for payload in payloads:
            sequence = await self._store(subject or self.channel.subject, str(payload).encode())
        if to_end:
            await eventually(lambda: self.last >= sequence, f"message {sequence} has come")
        return sequence

    @property
    def last(self) -> int:
        return 0 if self.bridge.history is None else self.bridge.history.last

    async def ask(self, verb: str, **request: object) -> dict[str, object]:
        """JetStream's own API."""
        answer = await self.peer.nats.request(f"$JS.API.{verb}", orjson.dumps(request), timeout=10)
        return orjson.loads(answer.data)  # type: ignore[no-any-return]

    async def consumers(self) -> list[str]:
        names = (await self.ask("CONSUMER.NAMES.S"))["consumers"]
        assert isinstance(names, list) or names is None
        return names or []

    async def _store(self, subject: str, payload: bytes) -> int:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    answer = orjson.loads((await self.peer.nats.request(subject, payload, timeout=5)).data)
                except NatsError:
                    await asyncio.sleep(0.05)
                    continue
                return answer["seq"]  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self.peer.close()
        await self.stack.stop()

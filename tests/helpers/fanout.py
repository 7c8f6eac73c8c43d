"""A hub without NATS, loop and sockets: wires and clients that write down, a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from wsgw.channels.channel import Channel, Direction
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded, Publication
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics

IN = Channel("IN", Direction.INBOUND)
CHAT = Channel("chat.*", Direction.BOTH)


class Wire:
    def __init__(self, transport: str = "websocket") -> None:
        self.transport = transport
        self.encoded: list[tuple[str, bytes]] = []

    def encode(self, name: str, publication: Publication) -> Encoded:
        self.encoded.append((name, publication.payload))
        return Encoded(Message(True, publication.payload))


class Client(Sender):
    """A sender that writes down the batches; it is paused while ``takes`` is false."""

    __slots__ = ("batches", "on_batch", "takes")

    def __init__(self, wire: Wire | None = None) -> None:
        super().__init__(wire or Wire(), OutboxTotals(), no_overflow)
        self.batches: list[Batch] = []
        self.takes = True
        self.on_batch: Callable[[], None] = lambda: None

    def offer(self, batch: Batch) -> bool:
        self.batches.append(batch)
        self.on_batch()
        return self.takes

    @property
    def data(self) -> list[list[bytes]]:
        return [[item.messages[0].data for item in batch.items] for batch in self.batches]


class Loop:
    """Time, and callbacks that run when the tick ends."""

    def __init__(self) -> None:
        self.now = 1.0
        self.callbacks: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def clock(self) -> float:
        return self.now

    def tick(self) -> None:
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Upstream:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")


def no_overflow() -> None:
    """For senders that are not to be let pile up."""
    raise AssertionError("more control items wait than any reading client leaves")


@cache
def deliveries(channel: Channel) -> Deliveries:
    """Where that is counted which nobody asks for; those of one channel are one."""
    return Deliveries(channel, "websocket", Metrics())


def batch(channel: Channel, *items: Encoded) -> Batch:
    """A batch of ``channel``, counted where nobody looks."""
    return Batch(deliveries(channel), channel.name, items)


def publication(payload: bytes, at: float = 1.0) -> Publication:
    return Publication("x", payload, at)

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

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        self.encoded.append((name, publication.payload))
        return Encoded(Message(True, publication.payload))

    def dropped(self, name: str, count: int) -> Encoded | None:
        return None


class TellingWire(Wire):
    """One whose clients can be told what was dropped."""

    def dropped(self, name: str, count: int) -> Encoded:
        return Encoded(Message(True, b"%d of %b dropped" % (count, name.encode())))


class FakeLink:
    """A link whose transport is full after ``room`` calls; then it pauses ``sender`` from inside, as uvicorn does.

    Paused, it takes only what a closing handshake comes behind. It writes down what it is given.
    """

    def __init__(self, sender: Sender, room: int = 10**9) -> None:
        self.sender = sender
        self.room = room
        self.buffered = 0
        self.data: list[bytes] = []
        self.batches: list[Batch] = []
        self.calls = 0
        self.paused = False
        self.closing = False
        self.on_batch: Callable[[], None] = lambda: None

    def pause(self) -> None:
        self.paused = True
        self.sender.pause()

    def resume(self, room: int = 10**9) -> None:
        self.paused = False
        self.room = room
        self.sender.resume()

    async def run(self) -> None: ...

    def write(self, item: Encoded) -> None:
        self.data += [message.data for message in item.messages]
        self._count()

    def write_batch(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.data += [message.data for item in batch.items for message in item.messages]
        self._count()
        self.on_batch()

    def _count(self) -> None:
        assert self.closing or not self.paused, "written to while it is paused"
        self.calls += 1
        self.room -= 1
        if self.room == 0:
            self.pause()

    def buffered_bytes(self) -> int:
        return self.buffered

    def close(self, code: int, reason: str = "") -> None:
        raise NotImplementedError

    abort = pause_reading = resume_reading = stop_keepalive = lambda self: None


class Client(Sender):
    """A sender that has its link from the start."""

    __slots__ = ("link",)

    def __init__(self, wire: Wire | None = None) -> None:
        super().__init__(wire or Wire(), OutboxTotals(), no_overflow)
        self.link = FakeLink(self)
        self.attach(self.link)

    @property
    def batches(self) -> list[Batch]:
        """What was written at once."""
        return self.link.batches

    @property
    def data(self) -> list[list[bytes]]:
        """The same, taken apart."""
        return [[item.messages[0].data for item in batch.items] for batch in self.batches]


class Loop:
    """Time, and callbacks that run when the tick ends."""

    def __init__(self) -> None:
        self.now = 1.0
        self.callbacks: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append((seconds, callback))

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

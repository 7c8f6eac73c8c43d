"""A stream that a test makes up, and clients that follow it: no NATS, no sockets."""

from __future__ import annotations

import asyncio

from helpers.durables import WIRE, durable
from helpers.fanout import FakeLink, Upstream
from wsgw.bridges.following import Following
from wsgw.bridges.pages import Page
from wsgw.bridges.parts import Parts
from wsgw.bridges.place import Coming, Place
from wsgw.channels.start import Start
from wsgw.errors import STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.history import History
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.fanout.sender import Sender
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics
from wsgw.shares.memory import Memory
from wsgw.shares.slices import Slices

IDENTITY = "0123456789"


class MadeStream:
    """Implements ``Source``: a stream of which the newest are kept, and what is read of it, ``page`` at a time."""

    whole = True

    def __init__(self, page: int = 3) -> None:
        loop = asyncio.get_running_loop()
        self.channel = durable()
        self.hub = Hub(Metrics(), Turn(loop.call_soon), loop.time, Upstream())
        self.slices = Slices(loop)
        self.memory = Memory()
        self.history: History | None = History(IDENTITY, 0, Memory())
        self.stored: list[StreamPublication] = []
        self.first = 1
        self.deleted = False
        self.came_in: list[Coming] = []
        self.ended: list[Following] = []
        self.reads: list[tuple[int, bool]] = []
        self.faults = 0
        self.last = 0  # in the stream, as it says
        self.asked_last = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._page = page

    def store(self, count: int, size: int = 1, room: str = "") -> None:
        """Publications to ``orders``, or to a room."""
        assert self.history is not None
        subject, name = (f"rooms.{room}", f"room.{room}") if room else ("orders", "orders")
        for _ in range(count):
            sequence = len(self.stored) + 1
            made = StreamPublication(Publication(subject, b"x" * size, 0.0), IDENTITY, sequence, sequence * 10**9)
            self.stored.append(made)
            self.history.add(made)
            self.hub.publish(name, made)

    def identity_of(self, subject: str) -> str:
        assert self.history is not None
        return Parts(self.channel.template).identity_of(self.history.identity, subject)

    def forget(self, following: Following) -> None:
        self.ended.append(following)

    def came(self, coming: Coming) -> None:
        self.came_in.append(coming)

    def read(self, subject: str, after: int, *, anew: bool) -> asyncio.Future[Page]:
        self.reads.append((after, anew))
        return asyncio.ensure_future(self._read(subject, after))

    async def _read(self, subject: str, after: int) -> Page:
        await self.gate.wait()
        if self.faults:
            self.faults -= 1
            raise GatewayError(STREAM_UNAVAILABLE, "not now")
        every = [one for one in self.stored if subject in (one.subject, self.channel.subject)]
        found = [one for one in every if one.sequence > after and one.sequence >= self.first][: self._page]
        until = found[-1].sequence if found else len(self.stored)
        return Page(after, until, tuple(found), self.first, self.deleted)

    def find_since(self, subject: str, stored_at_ns: int) -> asyncio.Future[int]:
        found = asyncio.get_running_loop().create_future()
        found.set_result(next((one.sequence - 1 for one in self.stored if one.stored_at_ns >= stored_at_ns), 0))
        return found

    def find_last(self) -> asyncio.Future[int]:
        return asyncio.ensure_future(self._find_last())

    async def _find_last(self) -> int:
        self.asked_last += 1
        if self.faults:
            self.faults -= 1
            raise GatewayError(STREAM_UNAVAILABLE, "not now")
        return self.last

    def recheck(self) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class MadeClient:
    def __init__(self, stream: MadeStream, start: Start, name: str = "orders") -> None:
        self.sender = Sender(WIRE, OutboxTotals(), self._overflow)
        self.link = FakeLink(self.sender)
        self.sender.attach(self.link)
        self.places: list[Place] = []
        self.overflowed = False
        self.following = Following(stream, name, self.sender, start, self.places.append)
        self.following.begin()

    def _overflow(self) -> None:
        self.overflowed = True

    @property
    def sequences(self) -> list[int]:
        return [int(data.split()[0]) for data in self.link.data]

    @property
    def coming(self) -> list[Coming]:
        return [place.coming for place in self.places]


def after(sequence: int) -> Start:
    """Behind ``sequence`` of it."""
    return Start(after={IDENTITY: sequence})

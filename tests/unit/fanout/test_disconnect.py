"""A channel that drops nothing: who does not keep up is too slow for it; and who waits for a client hears of room."""

from __future__ import annotations

import pytest

from helpers.fanout import FakeLink, Wire, deliveries
from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import Outbox, OutboxTotals, Overflow
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender

STRICT = deliveries(
    Channel("S", Direction.INBOUND, outbox_messages=3, outbox_bytes=1024, slow_consumer=SlowConsumer.DISCONNECT)
)
LOOSE = deliveries(Channel("L", Direction.INBOUND, outbox_messages=3, outbox_bytes=1024))


def batch(count: int, size: int = 1, of: object = STRICT) -> Batch:
    made = STRICT if of is STRICT else LOOSE
    return Batch(made, made.channel.name, [Encoded(Message(True, b"x" * size)) for _ in range(count)])


@pytest.mark.parametrize(("count", "size"), [(4, 1), (2, 1000)])
def test_over_a_limit(count: int, size: int) -> None:
    totals = OutboxTotals()
    outbox = Outbox(totals, Wire())
    outbox.put(batch(1, size))
    with pytest.raises(Overflow):
        outbox.put(batch(count - 1, size))
    assert STRICT.dropped == 0
    outbox.close()
    assert (totals.messages, totals.bytes, totals.memory.used_bytes) == (0, 0, 0)


def test_one_that_is_larger_alone_still_goes() -> None:
    outbox = Outbox(OutboxTotals(), Wire())
    assert outbox.put(batch(1, 5000)) == 0
    assert len(outbox.take(10, 10)) == 1


def test_for_want_of_memory_nothing_of_it_is_dropped() -> None:
    totals = OutboxTotals()
    one, other = Outbox(totals, Wire()), Outbox(totals, Wire())
    shared = batch(3, of=LOOSE)
    for outbox in (one, other):
        outbox.put(shared)
    one.put(batch(1))
    assert not one.shed(), "its client is to be ended instead"
    assert other.shed()
    assert len(one) == 4


class Told:
    def __init__(self) -> None:
        self.overflowed = 0
        self.room = 0
        self.sender = Sender(Wire(), OutboxTotals(), self._overflowed)
        self.link = FakeLink(self.sender)

    def _overflowed(self) -> None:
        self.overflowed += 1
        self.sender.close()

    def has_room(self) -> bool:
        return self.sender.has_room(self._told)

    def _told(self) -> None:
        self.room += 1


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_client_is_too_slow(told: Told) -> None:
    told.sender.attach(told.link)
    told.link.pause()
    assert not told.sender.offer(batch(3))
    assert not told.sender.offer(batch(1))
    assert told.overflowed == 1
    assert not told.sender.offer(batch(1))
    assert told.overflowed == 1


def test_room(told: Told) -> None:
    assert told.has_room(), "a poll may fetch it"
    told.sender.attach(told.link)
    assert told.has_room()
    told.link.pause()
    assert not told.has_room()
    told.sender.offer(batch(1))
    assert not told.has_room()
    assert told.room == 0
    told.link.resume()
    assert told.room == 1
    assert told.has_room()
    told.link.pause()
    assert not told.has_room()
    told.sender.close()
    assert told.room == 2
    assert told.has_room(), "for nothing"


def test_one_that_wants_no_room_any_more(told: Told) -> None:
    told.sender.attach(told.link)
    told.link.pause()
    for _ in range(2):
        assert not told.has_room()
        told.sender.forget(told._told)
    assert not told.sender._room
    told.link.resume()
    assert told.room == 0


def test_room_behind_polls(told: Told) -> None:
    told.sender.offer(batch(2))
    assert not told.has_room()
    told.sender.take(1, 1000)
    assert told.room == 0
    told.sender.take(1, 1000)
    assert told.room == 1
    assert told.has_room()

"""What is said with each publication of where its client stands: true for every client at every moment."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from helpers.fanout import FakeLink, Upstream, deliveries, no_overflow
from wsgw.channels.channel import Channel, Direction
from wsgw.channels.position import mark, parse
from wsgw.fanout.frames import Message
from wsgw.fanout.hub import MAX_MADE_BYTES, Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded, Publication, StreamPublication
from wsgw.fanout.replays import MAX_BATCHES
from wsgw.fanout.stamp import MAX_STAMPED, NOWHERE, Stamp, Stampable, StampingSender
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics

A, B, PLAIN = (Channel(name, Direction.INBOUND) for name in ("A", "B", "PLAIN"))
MARKS = {"A": "a" * 10, "B": "b" * 10}


class StampWire:
    """A publication is its payload, a blank and the position."""

    transport = "sse"

    def __init__(self) -> None:
        self.stamps = 0

    def encode(self, channel: Channel, name: str, publication: Publication) -> Stampable:
        sequence = publication.sequence if isinstance(publication, StreamPublication) else None
        return Stampable(sequence, Message(True, publication.payload))

    def dropped(self, name: str, count: int) -> Encoded:
        return Encoded(Message(True, b"%d of %b dropped" % (count, name.encode())))

    def stamp(self, item: Encoded, position: str) -> Encoded:
        self.stamps += 1
        return Encoded(Message(True, item.data + b" " + position.encode()))


class StampedClient:
    """One whose link takes everything."""

    def __init__(self, wire: StampWire, **sequences: int) -> None:
        self.sender = StampingSender(wire, OutboxTotals(), no_overflow)
        self.link = FakeLink(self.sender)
        self.sender.attach(self.link)
        for name, sequence in sequences.items():
            self.sender.stamp = self.sender.stamp.standing(name, MARKS[name], sequence)

    @property
    def said(self) -> list[tuple[str, str]]:
        """Payloads, and the positions that came with them."""
        return [tuple(data.decode().split(" ")) for data in self.link.data]  # type: ignore[misc]


def batch(wire: StampWire, channel: Channel, *sequences: int | None) -> Batch:
    items = []
    for sequence in sequences:
        plain = Publication(channel.name, f"{channel.name}{sequence}".encode(), 0.0)
        stored = plain if sequence is None else StreamPublication(plain, "of no interest", sequence, 0)
        items.append(wire.encode(channel, channel.name, stored))
    return Batch(deliveries(channel), channel.name, items)


def test_each_says_where_the_client_stands_behind_it() -> None:
    wire = StampWire()
    client = StampedClient(wire, A=5, B=9)
    client.sender.offer(batch(wire, A, 6, 8))
    client.sender.offer(batch(wire, PLAIN, None))
    client.sender.offer(batch(wire, B, 10))
    assert [payload for payload, _ in client.said] == ["A6", "A8", "PLAINNone", "B10"]
    positions = [parse(position) for _, position in client.said]
    a, b = MARKS.values()
    assert positions == [{a: 6, b: 9}, {a: 8, b: 9}, {a: 8, b: 9}, {a: 8, b: 10}]


def test_what_is_said_behind_the_position() -> None:
    wire = StampWire()
    client = StampedClient(wire, A=5)
    client.sender.stamp = client.sender.stamp.saying("~more")
    client.sender.offer(batch(wire, A, 6))
    assert client.said == [("A6", f"1.{'a' * 10}-6~more")]
    assert client.sender.stamped(Encoded(Message(True, b"x"))).data == f"x 1.{'a' * 10}-6~more".encode()
    assert client.sender.stamp.without("A").text == "1~more"


def test_those_who_stand_alike_share_what_is_made() -> None:
    wire = StampWire()
    clients = [StampedClient(wire, A=5, B=9) for _ in range(50)]
    for shared in (batch(wire, A, 6, 7), batch(wire, B, 10)):
        for client in clients:
            client.sender.offer(shared)
    assert wire.stamps == 3
    assert len({client.link.batches[0] for client in clients}) == 1
    assert len({client.sender.stamp for client in clients}) == 1


def test_what_is_made_for_others_is_bounded() -> None:
    wire = StampWire()
    one = batch(wire, A, 100)
    for sequence in range(20):
        StampedClient(wire, A=sequence).sender.offer(one)
        assert len(one.made) <= MAX_STAMPED
    assert wire.stamps == 20


async def test_what_is_kept_for_who_comes_back_is_bounded_in_bytes() -> None:
    """Small publications, and clients that each say very much."""
    loop = asyncio.get_running_loop()
    hub = Hub(Metrics(), Turn(loop.call_soon), loop.time, Upstream())
    wire, name = StampWire(), "x" * 2000
    for start in range(0, 10_000, 256):
        stored = [StreamPublication(Publication("A", b"", 0.0), "i", start + number, 0) for number in range(256)]
        for number in range(MAX_STAMPED):
            client = StampedClient(wire, A=0)
            client.sender.stamp = client.sender.stamp.saying(f"~{number}{name}")
            hub.deliver(A, "A", client.sender, stored)
            assert len(client.said) == 256
        assert len(hub._replays._batches) <= MAX_BATCHES
        assert sum([batch.made_bytes for batch in hub._replays._batches.values()]) <= MAX_BATCHES * MAX_MADE_BYTES
    assert not any(batch.made for batch in hub._replays._batches.values())
    few = StampedClient(wire, A=0)
    hub.deliver(A, "A", few.sender, stored[:3])
    assert next(reversed(hub._replays._batches.values())).made, "what is not much is shared"


def test_stamps_are_what_they_say() -> None:
    one = NOWHERE.standing("A", "a" * 10, 5)
    assert one == Stamp({"A": "a" * 10}, {"A": 5})
    assert hash(one) == hash(Stamp({"A": "a" * 10}, {"A": 5}))
    for other in (one.standing("A", "a" * 10, 6), one.standing("A", "b" * 10, 5), one.saying("~x"), NOWHERE, "A"):
        assert one != other
    assert NOWHERE.text == "1"


def test_nothing_comes_while_it_is_corked() -> None:
    client = StampedClient(StampWire(), A=5)
    told: list[str] = []
    client.sender.cork()
    assert client.sender.stamp is NOWHERE
    assert not client.sender.has_room(lambda: told.append("room"))
    client.sender.send(Encoded(Message(True, b"control")))
    assert client.link.data == [b"control"]
    assert not told
    client.sender.uncork()
    client.sender.uncork()
    assert told == ["room"]
    assert client.sender.has_room(lambda: None)
    client.sender.cork()
    client.sender.close()
    assert client.sender.has_room(lambda: None), "nobody waits for one that has ended"
    assert not client.sender.offer(batch(StampWire(), A, 6))


def test_what_waits_in_the_outbox_has_its_own() -> None:
    wire = StampWire()
    client = StampedClient(wire, A=5)
    client.link.pause()
    client.sender.offer(batch(wire, A, 6))
    client.sender.offer(batch(wire, A, 7))
    client.link.resume()
    assert [parse(position) for _, position in client.said] == [{"a" * 10: 6}, {"a" * 10: 7}]


@given(st.lists(st.tuples(st.sampled_from([A, B, PLAIN]), st.integers(1, 4), st.sets(st.integers(0, 3))), max_size=30))
def test_whatever_comes_in_which_order(turns: list[tuple[Channel, int, set[int]]]) -> None:
    """Clients that begin at different places, and of which some get a batch before others do."""
    wire = StampWire()
    clients = [StampedClient(wire, A=number // 2, B=number % 2) for number in range(4)]
    last = {"A": 1, "B": 1, "PLAIN": 0}
    waiting: list[list[Batch]] = [[], [], [], []]
    for channel, count, late in turns:
        begin = last[channel.name] + 1
        last[channel.name] += count
        one = batch(wire, channel, *(None if channel is PLAIN else begin + number for number in range(count)))
        for number, client in enumerate(clients):
            waiting[number].append(one)
            if number not in late:
                for due in waiting[number]:
                    client.sender.offer(due)
                waiting[number].clear()
    for number, client in enumerate(clients):
        seen = {"A": number // 2, "B": number % 2}
        for payload, position in client.said:
            if not payload.startswith("PLAIN"):
                seen[payload[0]] = int(payload[1:])
            assert parse(position) == {MARKS[name]: sequence for name, sequence in seen.items()}


def test_marks_tell_names_apart() -> None:
    marks = {mark("0123456789", "room.*", name) for name in ("room.*", "room.1", "room.2")}
    assert len(marks) == 3
    assert mark("0123456789", "room.*", "room.*") == "0123456789"
    assert all(parse(f"1.{one}-5") == {one: 5} for one in marks)

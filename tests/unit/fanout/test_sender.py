"""A sender in front of a link that takes, stalls and goes."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers.fanout import FakeLink, Wire, deliveries, no_overflow
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import sender as module
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.gap import Gap
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics

CHANNEL = Channel("IN", Direction.INBOUND, outbox_messages=5)
WIDE = Channel("WIDE", Direction.INBOUND)


def item(*parts: bytes) -> Encoded:
    return Encoded(*[Message(True, part) for part in parts])


def batch(*parts: bytes, channel: Channel = CHANNEL, counted: Deliveries | None = None) -> Batch:
    return Batch(counted or deliveries(channel), channel.name, [item(part) for part in parts])


@pytest.fixture
def counted() -> Deliveries:
    return Deliveries(CHANNEL, "websocket", Metrics())


@pytest.fixture
def totals() -> OutboxTotals:
    return OutboxTotals()


@pytest.fixture
def sender(totals: OutboxTotals) -> Sender:
    return Sender(Wire(), totals, no_overflow)


def test_a_clear_link_takes_at_once(sender: Sender, counted: Deliveries) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    assert sender.offer(batch(b"a", b"b", counted=counted))
    sender.send(item(b"c"))
    assert link.data == [b"a", b"b", b"c"]
    assert link.calls == 2
    assert len(sender) == 0
    assert counted.messages == 0  # its audience counts these


def test_many_items_at_once(sender: Sender) -> None:
    sender.send_all([item(b"a"), item(b"b", b"c")])
    assert len(sender) == 2
    link = FakeLink(sender)
    sender.attach(link)
    sender.send_all([])
    sender.send_all([item(b"d"), item(b"e")])
    assert (link.data, link.calls) == ([b"a", b"b", b"c", b"d", b"e"], 2)
    link.pause()
    sender.send_all([item(b"f"), item(b"g")])
    assert len(sender.take(1, 10**9)) == 1  # each may go in an answer of its own


def test_many_messages_at_once_are_items_where_they_wait(sender: Sender) -> None:
    sender.send_each([Message(True, b"a"), Message(True, b"b")])
    assert len(sender) == 2
    assert [one.data for one in sender.take(1, 10**9)] == [b"a"]
    link = FakeLink(sender)
    sender.attach(link)
    sender.send_each([])
    sender.send_each([Message(True, b"c"), Message(True, b"d")])
    assert (link.data, link.calls) == ([b"b", b"c", b"d"], 2)


def test_what_comes_before_the_link_waits_for_it(sender: Sender, counted: Deliveries, totals: OutboxTotals) -> None:
    assert not sender.offer(batch(b"a", b"b", counted=counted))
    sender.send(item(b"c"))
    assert counted.messages == 0
    assert (len(sender), totals.messages, totals.bytes) == (3, 3, 3)
    link = FakeLink(sender)
    sender.attach(link)
    assert link.data == [b"a", b"b", b"c"]
    assert (len(sender), totals.messages, totals.bytes) == (0, 0, 0)
    assert (counted.messages, counted.bytes) == (2, 2)


def test_a_paused_link_gets_nothing_until_it_resumes(sender: Sender) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    link.pause()
    assert not sender.offer(batch(b"a"))
    sender.send(item(b"b"))
    assert link.data == []
    link.resume()
    assert link.data == [b"a", b"b"]
    assert sender.offer(batch(b"c"))


def test_a_flush_stops_where_the_link_is_full(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_MESSAGES", 2)
    link = FakeLink(sender, room=1)
    sender.offer(batch(b"a", b"b", b"c", b"d"))
    sender.attach(link)
    assert link.data == [b"a", b"b"]
    assert not sender.offer(batch(b"e"))
    link.resume()
    assert link.data == [b"a", b"b", b"c", b"d", b"e"]


def test_a_flush_is_cut_by_bytes(sender: Sender) -> None:
    parts = [b"x" * (module.FLUSH_BYTES // 2 + 1)] * 4
    sender.offer(batch(*parts, channel=WIDE))
    link = FakeLink(sender)
    sender.attach(link)
    assert link.calls == 4
    assert link.data == parts


class Slow:
    """A session that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Batch, int]] = []

    def dropped(self, batch: Batch, count: int) -> None:
        self.told.append((batch, count))

    def gapped(self, name: str, gap: Gap) -> None:
        raise NotImplementedError


def test_drops_are_counted_once_by_channel_and_told_to_the_session(sender: Sender, counted: Deliveries) -> None:
    slow = sender.session = Slow()
    other = Deliveries(WIDE, "websocket", Metrics())
    first, second = batch(*[b"%d" % i for i in range(7)], counted=counted), batch(b"7", counted=counted)
    sender.offer(first)
    sender.offer(batch(b"other", channel=WIDE, counted=other))
    sender.offer(second)
    assert slow.told == [(first, 2), (second, 1)]
    assert (counted.dropped, other.dropped) == (3, 0)
    link = FakeLink(sender)
    sender.attach(link)
    assert link.data == [b"3", b"4", b"5", b"6", b"other", b"7"]
    assert (counted.messages, counted.dropped, other.messages) == (5, 3, 1)


def test_drops_without_a_session_are_counted(sender: Sender, counted: Deliveries) -> None:
    sender.offer(batch(*[b"%d" % i for i in range(8)], counted=counted))
    assert counted.dropped == 3


def test_the_transports_buffer_counts_towards_the_bytes(sender: Sender) -> None:
    small = Channel("S", Direction.INBOUND, outbox_bytes=10)
    counted = Deliveries(small, "websocket", Metrics())
    link = FakeLink(sender)
    sender.attach(link)
    link.pause()
    link.buffered = 8
    sender.offer(batch(b"aa", b"bb", channel=small, counted=counted))
    assert counted.dropped == 1


def test_a_poll_fetches(sender: Sender, counted: Deliveries) -> None:
    assert sender.take(16, 1000) == []
    sender.offer(batch(b"a", b"b", counted=counted))
    sender.send(item(b"c"))
    assert [entry.messages[0].data for entry in sender.take(2, 1000)] == [b"a", b"b"]
    assert len(sender) == 1
    assert counted.messages == 2


def test_an_item_is_not_torn_apart(sender: Sender) -> None:
    sender.send(item(b"a", b"b", b"c"))
    sender.send(item(b"d"))
    assert [len(entry.messages) for entry in sender.take(2, 1000)] == [3]


def test_a_second_link_gets_what_waits_for_the_first(sender: Sender) -> None:
    first, second = FakeLink(sender), FakeLink(sender)
    sender.attach(first)
    first.pause()
    assert not sender.offer(batch(b"a"))
    assert len(sender) == 1
    sender.attach(second)
    assert (first.data, second.data) == ([], [b"a"])


def test_a_new_link_is_not_paused(sender: Sender) -> None:
    first = FakeLink(sender)
    sender.attach(first)
    first.pause()
    link = FakeLink(sender)
    sender.attach(link)
    assert sender.offer(batch(b"a"))
    assert link.data == [b"a"]


@pytest.mark.parametrize("queued", [True, False])
def test_closed_it_sends_nothing_more(sender: Sender, totals: OutboxTotals, queued: bool) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    if queued:
        link.pause()
        sender.offer(batch(b"a"))
    sender.close()
    link.resume()
    assert not sender.offer(batch(b"b"))
    sender.send(item(b"c"))
    assert (link.data, len(sender), totals.messages) == ([], 0, 0)
    sender.close()


def test_closed_it_lets_go_of_its_maker() -> None:
    """A session and its sender know each other: nothing of it is to wait for the collector."""

    class Maker:
        def ended(self) -> None:
            raise AssertionError("nothing waits")

    maker = Maker()
    gone = weakref.ref(maker)
    sender = Sender(Wire(), OutboxTotals(), maker.ended)
    sender.close()
    del maker
    assert gone() is None


def test_closed_it_takes_no_link(sender: Sender) -> None:
    link = FakeLink(sender)
    sender.close()
    sender.attach(link)
    sender.send(item(b"a"))
    assert not sender.offer(batch(b"b"))
    assert link.data == []


def test_what_waits_goes_before_a_closing_handshake(sender: Sender, counted: Deliveries) -> None:
    sender.finish()
    sender.offer(batch(b"a", counted=counted))
    sender.finish()  # nobody is there to write it to
    link = FakeLink(sender, room=1)
    sender.attach(link)
    sender.offer(batch(b"b", counted=counted))
    sender.send(item(b"c"))
    assert link.data == [b"a"]
    link.closing = True
    sender.finish()
    assert link.data == [b"a", b"b", b"c"]
    assert counted.messages == 2


def test_an_outbox_is_there_only_while_something_waits(sender: Sender, totals: OutboxTotals) -> None:
    """A client that polls leaves nothing between two polls."""

    def waits() -> bool:
        return totals.memory.used_bytes > 0

    for fetch in (lambda: sender.take(9, 999), lambda: sender.attach(FakeLink(sender)), sender.close):
        sender.offer(batch(b"a"))
        sender.send(item(b"b"))
        assert waits()
        fetch()
        assert not waits()
        sender.pause()


def test_what_a_closing_handshake_comes_behind_waits_no_more(sender: Sender, totals: OutboxTotals) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    link.pause()
    sender.offer(batch(b"a"))
    link.closing = True
    sender.finish()
    assert (link.data, sender.held_bytes(), totals.memory.used_bytes) == ([b"a"], 0, 0)


def test_what_many_have_is_written_as_the_same_bytes(totals: OutboxTotals) -> None:
    """At a stop: joined anew for each, it would be kept as often as there are clients."""

    class Written(FakeLink):
        def write(self, item: Encoded) -> None:
            frames.append(item.frames)

    frames: list[bytes] = []
    shared = batch(b"a" * 1000, b"b" * 1000)
    several = [Sender(Wire(), totals, no_overflow) for _ in range(3)]
    for sender in several:
        link = Written(sender)
        sender.attach(link)
        link.pause()
        sender.offer(shared)
        link.closing = True
        sender.finish()
    assert (len(frames), len({id(each) for each in frames})) == (6, 2)
    assert b"".join(frames[:2]) == shared.frames


def test_a_link_that_is_lost_while_what_waits_is_written(sender: Sender) -> None:
    class Lost(FakeLink):
        def write(self, item: Encoded) -> None:
            super().write(item)
            self.sender.close()

    for write in (sender.attach, lambda link: sender.finish()):
        sender.send_all([item(b"a"), item(b"b" * module.FLUSH_BYTES)])
        link = Lost(sender)
        write(link)
        assert len(link.data) <= 1


class Order(RuleBasedStateMachine):
    """Everything sent arrives once and in order, whatever the link does."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = OutboxTotals()
        self.sender = Sender(Wire(), self.totals, no_overflow)
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.link: FakeLink | None = None

    def _next(self) -> bytes:
        self.sent.append(b"%d" % len(self.sent))
        return self.sent[-1]

    @rule(number=st.integers(1, 3))
    def offer(self, number: int) -> None:
        self.sender.offer(batch(*[self._next() for _ in range(number)], channel=WIDE))

    @rule()
    def send(self) -> None:
        self.sender.send(item(self._next(), self._next()))

    @rule(room=st.integers(1, 4))
    def attach(self, room: int) -> None:
        self.link = FakeLink(self.sender, room)
        self.link.data = self.got
        self.sender.attach(self.link)

    @rule()
    def pause(self) -> None:
        if self.link is not None:
            self.link.pause()

    @rule(room=st.integers(1, 4))
    def resume(self, room: int) -> None:
        if self.link is not None:
            self.link.resume(room)

    @rule(messages=st.integers(1, 4))
    def poll(self, messages: int) -> None:
        if self.link is None:
            self.got += [m.data for entry in self.sender.take(messages, 10**6) for m in entry.messages]

    @invariant()
    def in_order(self) -> None:
        assert self.got == self.sent[: len(self.got)]

    def teardown(self) -> None:
        self.attach(10**9)
        assert self.got == self.sent
        assert (self.totals.messages, self.totals.bytes, self.totals.memory.used_bytes) == (0, 0, 0)


TestOrder = Order.TestCase

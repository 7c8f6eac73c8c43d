"""A sender in front of a link that takes, stalls and goes."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import sender as module
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics

CHANNEL = Channel("IN", Direction.INBOUND, outbox_messages=5)
WIDE = Channel("WIDE", Direction.INBOUND)


class FakeLink:
    """A link whose transport is full after ``room`` calls; then it pauses ``sender`` from inside, as uvicorn does."""

    def __init__(self, sender: Sender, room: int = 10**9) -> None:
        self.sender = sender
        self.room = room
        self.buffered = 0
        self.data: list[bytes] = []
        self.calls = 0

    async def run(self) -> None: ...

    def write(self, item: Encoded) -> None:
        self.data += [message.data for message in item.messages]
        self._count()

    def write_batch(self, batch: Batch) -> None:
        self.data += [message.data for item in batch.items for message in item.messages]
        self._count()

    def _count(self) -> None:
        self.calls += 1
        self.room -= 1
        if self.room == 0:
            self.sender.pause()

    def buffered_bytes(self) -> int:
        return self.buffered

    def close(self, code: int, reason: str = "") -> None:
        raise NotImplementedError

    abort = pause_reading = resume_reading = stop_keepalive = lambda self: None


def item(*parts: bytes) -> Encoded:
    return Encoded(*[Message(True, part) for part in parts])


def batch(*parts: bytes, channel: Channel = CHANNEL) -> Batch:
    return Batch(channel, [item(part) for part in parts])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def totals() -> OutboxTotals:
    return OutboxTotals()


@pytest.fixture
def sender(metrics: Metrics, totals: OutboxTotals) -> Sender:
    return Sender(metrics, totals, "websocket")


def test_a_clear_link_takes_at_once(sender: Sender, metrics: Metrics) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    assert sender.offer(batch(b"a", b"b"))
    sender.send(item(b"c"))
    assert link.data == [b"a", b"b", b"c"]
    assert link.calls == 2
    assert len(sender) == 0
    assert metrics.value("wsgw_deliveries_total", channel="IN", transport="websocket") == 0  # the hub counts these


def test_many_items_at_once(sender: Sender) -> None:
    sender.send_all([item(b"a"), item(b"b", b"c")])
    assert len(sender) == 2
    link = FakeLink(sender)
    sender.attach(link)
    sender.send_all([])
    sender.send_all([item(b"d"), item(b"e")])
    assert (link.data, link.calls) == ([b"a", b"b", b"c", b"d", b"e"], 2)
    sender.pause()
    sender.send_all([item(b"f"), item(b"g")])
    assert len(sender.take(1, 10**9)) == 1  # each may go in an answer of its own


def test_what_comes_before_the_link_waits_for_it(sender: Sender, metrics: Metrics, totals: OutboxTotals) -> None:
    assert not sender.offer(batch(b"a", b"b"))
    sender.send(item(b"c"))
    assert (len(sender), totals.messages, totals.bytes) == (3, 3, 3)
    link = FakeLink(sender)
    sender.attach(link)
    assert link.data == [b"a", b"b", b"c"]
    assert (len(sender), totals.messages, totals.bytes) == (0, 0, 0)
    assert metrics.value("wsgw_deliveries_total", channel="IN", transport="websocket") == 2
    assert metrics.value("wsgw_delivered_bytes_total", channel="IN") == 2


def test_a_paused_link_gets_nothing_until_it_resumes(sender: Sender) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    sender.pause()
    assert not sender.offer(batch(b"a"))
    sender.send(item(b"b"))
    assert link.data == []
    sender.resume()
    assert link.data == [b"a", b"b"]
    assert sender.offer(batch(b"c"))


def test_a_flush_stops_where_the_link_is_full(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_MESSAGES", 2)
    link = FakeLink(sender, room=1)
    sender.offer(batch(b"a", b"b", b"c", b"d"))
    sender.attach(link)
    assert link.data == [b"a", b"b"]
    assert not sender.offer(batch(b"e"))
    sender.resume()
    assert link.data == [b"a", b"b", b"c", b"d", b"e"]


def test_a_flush_is_cut_by_bytes(sender: Sender) -> None:
    parts = [b"x" * (module.FLUSH_BYTES // 2 + 1)] * 4
    sender.offer(batch(*parts, channel=WIDE))
    link = FakeLink(sender)
    sender.attach(link)
    assert link.calls == 4
    assert link.data == parts


def test_drops_are_counted_by_channel_and_policy(sender: Sender, metrics: Metrics) -> None:
    sender.offer(batch(*[b"%d" % i for i in range(8)]))
    sender.offer(batch(b"other", channel=WIDE))
    assert metrics.value("wsgw_dropped_messages_total", channel="IN", policy="drop_oldest") == 3
    link = FakeLink(sender)
    sender.attach(link)
    assert link.data == [b"3", b"4", b"5", b"6", b"7", b"other"]


def test_the_transports_buffer_counts_towards_the_bytes(sender: Sender, metrics: Metrics) -> None:
    small = Channel("S", Direction.INBOUND, outbox_bytes=10)
    link = FakeLink(sender)
    sender.attach(link)
    sender.pause()
    link.buffered = 8
    sender.offer(batch(b"aa", b"bb", channel=small))
    assert metrics.value("wsgw_dropped_messages_total", channel="S", policy="drop_oldest") == 1


def test_a_poll_fetches(sender: Sender, metrics: Metrics) -> None:
    assert sender.take(16, 1000) == []
    sender.offer(batch(b"a", b"b"))
    sender.send(item(b"c"))
    assert [entry.messages[0].data for entry in sender.take(2, 1000)] == [b"a", b"b"]
    assert len(sender) == 1
    assert metrics.value("wsgw_deliveries_total", channel="IN", transport="websocket") == 2


def test_an_item_is_not_torn_apart(sender: Sender) -> None:
    sender.send(item(b"a", b"b", b"c"))
    sender.send(item(b"d"))
    assert [len(entry.messages) for entry in sender.take(2, 1000)] == [3]


def test_detached_it_queues(sender: Sender) -> None:
    first, second = FakeLink(sender), FakeLink(sender)
    sender.attach(first)
    sender.detach()
    assert not sender.offer(batch(b"a"))
    assert len(sender) == 1
    sender.attach(second)
    assert (first.data, second.data) == ([], [b"a"])


def test_a_new_link_is_not_paused(sender: Sender) -> None:
    sender.attach(FakeLink(sender))
    sender.pause()
    link = FakeLink(sender)
    sender.attach(link)
    assert sender.offer(batch(b"a"))
    assert link.data == [b"a"]


@pytest.mark.parametrize("queued", [True, False])
def test_closed_it_sends_nothing_more(sender: Sender, totals: OutboxTotals, queued: bool) -> None:
    link = FakeLink(sender)
    sender.attach(link)
    if queued:
        sender.pause()
        sender.offer(batch(b"a"))
    sender.close()
    sender.resume()
    assert not sender.offer(batch(b"b"))
    sender.send(item(b"c"))
    assert (link.data, len(sender), totals.messages) == ([], 0, 0)
    sender.close()


def test_closed_it_takes_no_link(sender: Sender) -> None:
    link = FakeLink(sender)
    sender.close()
    sender.attach(link)
    sender.send(item(b"a"))
    assert not sender.offer(batch(b"b"))
    assert link.data == []


class Order(RuleBasedStateMachine):
    """Everything sent arrives once and in order, whatever the link does."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = OutboxTotals()
        self.sender = Sender(Metrics(), self.totals, "websocket")
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
    def detach(self) -> None:
        self.link = None
        self.sender.detach()

    @rule()
    def pause(self) -> None:
        self.sender.pause()

    @rule(room=st.integers(1, 4))
    def resume(self, room: int) -> None:
        if self.link is not None:
            self.link.room = room
            self.sender.resume()

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
        assert (self.totals.messages, self.totals.bytes) == (0, 0)


TestOrder = Order.TestCase

"""What an outbox drops is told, in its place; and of some channels only the newest of each subject waits."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers.fanout import TellingWire, deliveries
from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import Outbox, OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.metrics import Metrics

FEW = deliveries(Channel("A", Direction.INBOUND, outbox_messages=3, outbox_bytes=1000))
WIDE = deliveries(Channel("WIDE", Direction.INBOUND))


def of(counted: Deliveries, *items: Encoded) -> Batch:
    return Batch(counted, counted.channel.name, items)


def item(data: bytes = b"x") -> Encoded:
    return Encoded(Message(True, data))


LATEST = deliveries(Channel("board", Direction.INBOUND, slow_consumer=SlowConsumer.LATEST, outbox_messages=4))


def quote(subject: str, payload: bytes) -> Encoded:
    made = item(payload)
    made.origin = "board", subject
    return made


class Board(RuleBasedStateMachine):
    """One outbox with a channel of which only the newest of each subject counts, beside others, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = OutboxTotals()
        self.outbox = Outbox(self.totals, TellingWire())
        self.board: list[Encoded] = []  # oldest first
        self.others = 0
        self.dropped = self.told = 0
        LATEST.dropped = 0

    @rule(quotes=st.lists(st.tuples(st.sampled_from("abcdefg"), st.binary(max_size=3)), min_size=1, max_size=6))
    def put(self, quotes: list[tuple[str, bytes]]) -> None:
        items = [quote(*each) for each in quotes]
        dropped = 0
        for each in items:
            before = len(self.board)
            self.board = [one for one in self.board if one.origin != each.origin]
            dropped += before - len(self.board)
            self.board.append(each)
        while len(self.board) > 4:
            del self.board[0]
            dropped += 1
        self.dropped += dropped
        assert self.outbox.put(of(LATEST, *items)) == dropped

    @rule(count=st.integers(1, 3))
    def put_others(self, count: int) -> None:
        self.outbox.put(of(WIDE, *[item(b"other")] * count))
        self.others += count

    @rule(messages=st.integers(1, 5))
    def take(self, messages: int) -> None:
        for taken in self.outbox.take(messages, 1000):
            if taken.data.endswith(b"dropped"):
                self.told += int(taken.data.split()[0])
                assert taken.data.endswith(b" of board dropped")
                assert self.told == self.dropped, "before the next one of the channel"
            elif taken.data == b"other":
                self.others -= 1
            else:
                assert taken is self.board.pop(0)
                assert self.told == self.dropped

    @invariant()
    def figures(self) -> None:
        assert LATEST.dropped == self.dropped
        assert len(self.outbox) == len(self.board) + self.others == self.totals.messages
        assert self.totals.bytes == sum(each.size for each in self.board) + 5 * self.others
        assert all(each.outboxes == 1 for each in self.board)

    def teardown(self) -> None:
        self.outbox.close()
        assert (self.totals.messages, self.totals.bytes, self.totals.kept_bytes) == (0, 0, 0)


TestBoard = Board.TestCase


def test_what_was_dropped_is_told_in_its_place() -> None:
    """Before the next one of the channel, and behind what came of others before that."""
    outbox = Outbox(OutboxTotals(), TellingWire())
    outbox.put(of(FEW, item(b"1"), item(b"2"), item(b"3")))  # three may wait
    outbox.put(of(WIDE, item(b"w")))
    outbox.put(of(FEW, item(b"4"), item(b"5")))
    taken = [each.data for each in outbox.take(100, 1000)]
    assert taken == [b"2 of A dropped", b"3", b"w", b"4", b"5"]
    outbox.put(of(FEW, item(b"6")))
    assert [each.data for each in outbox.take(100, 1000)] == [b"6"], "it was told"


def test_notices_count_as_messages() -> None:
    """A poll has to be no longer than its client takes."""
    pattern = deliveries(Channel("chat.*", Direction.INBOUND, outbox_messages=4))
    outbox = Outbox(OutboxTotals(), TellingWire())
    for number in range(12):
        made = item(b"%d" % number)
        made.origin = f"chat.{number}", "s"
        outbox.put(of(pattern, made))
    taken = outbox.take(3, 1000)
    assert [each.data for each in taken] == [b"1 of chat.%d dropped" % number for number in range(3)]
    assert len(outbox) == 4
    assert len(outbox.take(1, 1000)) == 1
    taken = outbox.take(6, 1000)
    assert [each.data for each in taken[:4]] == [b"1 of chat.%d dropped" % number for number in range(4, 8)]
    assert [each.data for each in taken[4:]] == [b"8", b"9"]
    assert [each.data for each in outbox.take(6, 1000)] == [b"10", b"11"]


def test_a_policy_that_is_another_one_since() -> None:
    """The configuration was read again while publications waited, which were encoded before that."""
    totals = OutboxTotals()
    outbox = Outbox(totals, TellingWire())
    channel = Channel("X", Direction.INBOUND, slow_consumer=SlowConsumer.LATEST, outbox_messages=2)
    counted = Deliveries(channel, "websocket", Metrics())
    first = item(b"1")
    first.origin = "X", "s"
    outbox.put(of(counted, first, item(b"without an origin")))
    counted.change(Channel("X", Direction.INBOUND, outbox_messages=2))
    assert outbox.put(of(counted, item(b"2"), item(b"3"))) == 2
    assert [each.data for each in outbox.take(9, 1000)] == [b"2 of X dropped", b"2", b"3"]
    assert (totals.messages, totals.bytes) == (0, 0)
    pattern = Deliveries(Channel("chat.*", Direction.INBOUND, outbox_messages=1), "websocket", Metrics())
    outbox.put(of(pattern, item(b"4"), item(b"5")))
    assert [each.data for each in outbox.take(9, 1000)] == [b"1 of chat.* dropped", b"5"]


def test_what_is_shed_of_a_channel_is_told_before_its_newest() -> None:
    totals = OutboxTotals()
    one, other = Outbox(totals, TellingWire()), Outbox(totals, TellingWire())
    numbers = [item(b"%d" % number * 50) for number in range(6)]
    for batch in (of(FEW, item(b"a" * 50), item(b"b" * 50)), of(WIDE, *numbers)):
        one.put(batch)
        other.put(batch)
    assert one.shed()
    taken = [each.data[:14] for each in one.take(99, 10_000)]
    assert taken[:2] == [b"1 of A dropped", b"b" * 14]
    assert b"1 of WIDE drop" in taken


def test_what_is_dropped_for_want_of_memory_is_told_too() -> None:
    totals = OutboxTotals()
    one, other = Outbox(totals, TellingWire()), Outbox(totals, TellingWire())
    batch = of(WIDE, *[item(b"%d" % number * 100) for number in range(8)])
    one.put(batch)
    other.put(batch)
    assert one.shed()
    assert one.take(100, 10_000)[0].data == b"2 of WIDE dropped"
    assert len(other.take(100, 10_000)) == 8

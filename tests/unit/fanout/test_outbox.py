"""The outbox against a model that is one plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helpers.fanout import deliveries
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import MAX_CONTROL_BYTES, MAX_CONTROL_ITEMS, Outbox, OutboxTotals, Overflow
from wsgw.fanout.publication import Batch, Encoded

DELIVERIES = [
    deliveries(channel)
    for channel in (
        Channel("A", Direction.INBOUND, outbox_messages=3, outbox_bytes=1000),
        Channel("B", Direction.INBOUND, outbox_messages=1000, outbox_bytes=20),
        Channel("C", Direction.BOTH, outbox_messages=1, outbox_bytes=1),
    )
]
encoded = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(
    lambda sizes: Encoded(*[Message(False, b"x" * size) for size in sizes])
)


def of(counted: Deliveries) -> Batch:
    """A batch that ``counted`` counts; what is put says what is in it."""
    return Batch(counted, counted.channel.name, ())


class Model(RuleBasedStateMachine):
    """``queue`` holds what waits, oldest first, as (deliveries or None, item); ``figures`` is what is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = OutboxTotals()
        self.outbox = Outbox(self.totals)
        self.other = Outbox(self.totals)
        self.queue: list[tuple[Deliveries | None, Encoded]] = []
        self.figures = {counted: [0, 0, 0] for counted in DELIVERIES}
        for counted in DELIVERIES:
            counted.report()

    @initialize()
    def another_outbox_counts_too(self) -> None:
        self.other.put(of(DELIVERIES[0]), Encoded(Message(True, b"other")))

    @rule(counted=st.sampled_from(DELIVERIES), item=encoded, transport_bytes=st.sampled_from([0, 0, 5, 100]))
    def put(self, counted: Deliveries, item: Encoded, transport_bytes: int) -> None:
        channel = counted.channel
        self.queue.append((counted, item))
        dropped = 0
        while True:
            mine = [entry for entry in self.queue if entry[0] is counted]
            size = sum(item.size for _, item in mine) + transport_bytes
            if len(mine) == 1 or (len(mine) <= channel.outbox_messages and size <= channel.outbox_bytes):
                break
            self.queue.remove(mine[0])
            dropped += 1
        self.figures[counted][2] += dropped
        assert self.outbox.put(of(counted), item, transport_bytes) == dropped

    @rule(item=encoded)
    def put_control(self, item: Encoded) -> None:
        self.queue.append((None, item))
        self.outbox.put_control(item)

    @rule(max_messages=st.integers(0, 6), max_bytes=st.integers(0, 60))
    def take(self, max_messages: int, max_bytes: int) -> None:
        wanted: list[tuple[Deliveries | None, Encoded]] = []
        while self.queue:
            more = [item for _, item in [*wanted, self.queue[0]]]
            messages, size = sum(len(item.messages) for item in more), sum(item.size for item in more)
            if wanted and (messages > max_messages or size > max_bytes):
                break
            wanted.append(self.queue.pop(0))
        self._check_taken(self.outbox.take(max_messages, max_bytes), wanted)

    def _check_taken(self, taken: list[Encoded], wanted: list[tuple[Deliveries | None, Encoded]]) -> None:
        assert taken == [item for _, item in wanted]
        for counted, item in wanted:
            if counted is not None:
                self.figures[counted][0] += 1
                self.figures[counted][1] += item.size

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.outbox.clear()

    @invariant()
    def totals_are_exact(self) -> None:
        assert len(self.outbox) == len(self.queue)
        assert self.totals.messages == len(self.queue) + len(self.other)
        assert self.totals.bytes == sum(item.size for _, item in self.queue) + 5 * len(self.other)

    @invariant()
    def figures_are_exact(self) -> None:
        """What was taken is delivered; what was dropped, or forgotten with its session, is not."""
        assert self.figures == {counted: [counted.messages, counted.bytes, counted.dropped] for counted in DELIVERIES}

    def teardown(self) -> None:
        self._check_taken(self.outbox.take(10**9, 10**9), self.queue)
        self.figures_are_exact()
        self.other.clear()
        assert (self.totals.messages, self.totals.bytes) == (0, 0)


TestModel = Model.TestCase


def item(data: bytes = b"x") -> Encoded:
    return Encoded(Message(True, data))


def test_memory_stays_bounded_while_a_client_is_stalled() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.put_control(item())  # at the head, so that what is dropped lies behind it
    for number in range(10_000):
        assert outbox.put(of(DELIVERIES[0]), item()) == (number >= 3)
    assert len(outbox) == 4
    assert len(outbox._queue) < 200


def test_one_publication_over_the_limit_still_goes() -> None:
    outbox = Outbox(OutboxTotals())
    big = item(b"x" * 10_000)
    assert outbox.put(of(DELIVERIES[1]), big) == 0
    assert outbox.take(1, 1) == [big]


@given(st.integers(1, 50))
def test_control_items_are_never_dropped(number: int) -> None:
    outbox = Outbox(OutboxTotals())
    controls = [item(b"%d" % i) for i in range(number)]
    for control in controls:
        outbox.put_control(control)
        outbox.put(of(DELIVERIES[2]), item())
    taken = outbox.take(10**9, 10**9)
    assert [entry for entry in taken if entry in controls] == controls
    assert len(taken) == number + 1


def test_too_many_control_items() -> None:
    totals = OutboxTotals()
    outbox = Outbox(totals)
    for _ in range(MAX_CONTROL_ITEMS):
        outbox.put_control(item())
    with pytest.raises(Overflow):
        outbox.put_control(item())
    assert totals.messages == MAX_CONTROL_ITEMS
    outbox.take(1, 1)
    outbox.put_control(item())


def test_too_many_control_bytes() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.put_control(item(bytes(MAX_CONTROL_BYTES)))
    with pytest.raises(Overflow):
        outbox.put_control(item())
    outbox.put(of(DELIVERIES[0]), item())

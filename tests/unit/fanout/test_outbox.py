"""The outbox against a model that is one plain list."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers.fanout import Wire, deliveries
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import outbox as module
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import ENTRY_BYTES, MAX_CONTROL_BYTES, OUTBOX_BYTES, Outbox, OutboxTotals, Overflow
from wsgw.fanout.publication import Batch, Encoded

DELIVERIES = [
    deliveries(channel)
    for channel in (
        Channel("A", Direction.INBOUND, outbox_messages=3, outbox_bytes=1000),
        Channel("B", Direction.INBOUND, outbox_messages=1000, outbox_bytes=20),
        Channel("C", Direction.BOTH, outbox_messages=1, outbox_bytes=1),
    )
]
WIDE = deliveries(Channel("WIDE", Direction.INBOUND))
encoded = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(
    lambda sizes: Encoded(*[Message(False, b"x" * size) for size in sizes])
)
which = st.sampled_from([0, 1])


def of(counted: Deliveries, *items: Encoded) -> Batch:
    return Batch(counted, counted.channel.name, items)


class Model(RuleBasedStateMachine):
    """Two outboxes, of which the second may have what the first one has, too.

    ``queues`` hold what waits, oldest first, as (deliveries or None, item); ``figures`` is what is counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals = OutboxTotals()
        self.outboxes = [Outbox(self.totals, Wire()), Outbox(self.totals, Wire())]
        self.queues: list[list[tuple[Deliveries | None, Encoded]]] = [[], []]
        self.figures = {counted: [0, 0, 0] for counted in DELIVERIES}
        for counted in DELIVERIES:
            counted.report()

    @rule(
        to=st.sampled_from([[0], [1], [0, 1]]),
        counted=st.sampled_from(DELIVERIES),
        items=st.lists(encoded, min_size=1, max_size=5),
        transport_bytes=st.sampled_from([0, 0, 5, 100]),
    )
    def put(self, to: list[int], counted: Deliveries, items: list[Encoded], transport_bytes: int) -> None:
        channel = counted.channel
        for number in to:
            queue = self.queues[number]
            dropped = 0
            for item in items:
                queue.append((counted, item))
                while True:
                    mine = [entry for entry in queue if entry[0] is counted]
                    size = sum(item.size for _, item in mine) + transport_bytes
                    if len(mine) == 1 or (len(mine) <= channel.outbox_messages and size <= channel.outbox_bytes):
                        break
                    queue.remove(mine[0])
                    dropped += 1
            self.figures[counted][2] += dropped
            assert self.outboxes[number].put(of(counted, *items), transport_bytes) == dropped

    @rule(number=which, item=encoded)
    def put_control(self, number: int, item: Encoded) -> None:
        self.queues[number].append((None, item))
        self.outboxes[number].put_control(item)

    @rule(number=which, max_messages=st.integers(0, 6), max_bytes=st.integers(0, 60))
    def take(self, number: int, max_messages: int, max_bytes: int) -> None:
        queue = self.queues[number]
        wanted: list[tuple[Deliveries | None, Encoded]] = []
        while queue:
            more = [item for _, item in [*wanted, queue[0]]]
            messages, size = sum(len(item.messages) for item in more), sum(item.size for item in more)
            if wanted and (messages > max_messages or size > max_bytes):
                break
            wanted.append(queue.pop(0))
        self._check_taken(self.outboxes[number].take(max_messages, max_bytes), wanted)

    def _check_taken(self, taken: list[Encoded], wanted: list[tuple[Deliveries | None, Encoded]]) -> None:
        assert taken == [item for _, item in wanted]
        for counted, item in wanted:
            if counted is not None:
                self.figures[counted][0] += 1
                self.figures[counted][1] += item.size

    @rule(number=which)
    def close(self, number: int) -> None:
        self.queues[number].clear()
        self.outboxes[number].close()
        self.outboxes[number] = Outbox(self.totals, Wire())

    @rule(of_which=which)
    def shed(self, of_which: int) -> None:
        outbox, queue, other = self.outboxes[of_which], self.queues[of_which], self.queues[1 - of_which]
        theirs = {item for counted, item in other if counted is not None}
        waiting = [place for place, (counted, _) in enumerate(queue) if counted is not None]
        sizes = [(item.kept_bytes, counted is None or item not in theirs) for counted, item in queue]
        everything = sum(size + ENTRY_BYTES for size, _ in sizes)
        left = Counter(counted for counted, _ in queue)
        going: list[int] = []
        for place in waiting:
            counted = queue[place][0]
            if left[counted] > 1 and len(going) < -(-len(waiting) // 4):  # the newest of each channel stays
                left[counted] -= 1
                going.append(place)
        stays = bool(going) and 2 * sum(size for size, alone in sizes if alone) < everything
        assert outbox.shed() == stays
        if stays:
            for place in reversed(going):
                counted, _ = queue.pop(place)
                assert counted is not None
                self.figures[counted][2] += 1

    @invariant()
    def totals_are_exact(self) -> None:
        assert list(map(len, self.outboxes)) == list(map(len, self.queues))
        assert self.totals.messages == sum(map(len, self.queues))
        assert self.totals.bytes == sum(item.size for queue in self.queues for _, item in queue)

    @invariant()
    def memory_is_exact(self) -> None:
        """A publication counts once, whoever has it; a control item for each."""
        entries = [entry for queue in self.queues for entry in queue]
        publications = {item for counted, item in entries if counted is not None}
        kept = [*publications, *(item for counted, item in entries if counted is None)]
        overhead = len(self.outboxes) * OUTBOX_BYTES + len(entries) * ENTRY_BYTES
        assert self.totals.memory.used_bytes == overhead + sum(item.kept_bytes for item in kept)
        assert self.totals.kept_bytes == self.totals.memory.used_bytes - len(self.outboxes) * OUTBOX_BYTES

    @invariant()
    def each_knows_its_own(self) -> None:
        for outbox, queue in zip(self.outboxes, self.queues, strict=True):
            kept = sum(item.kept_bytes + ENTRY_BYTES for _, item in queue)
            assert outbox._items_bytes == kept
            assert OUTBOX_BYTES <= outbox.kept_bytes <= OUTBOX_BYTES + kept

    @invariant()
    def figures_are_exact(self) -> None:
        """What was taken is delivered; what was dropped, or forgotten with its session, is not."""
        assert self.figures == {counted: [counted.messages, counted.bytes, counted.dropped] for counted in DELIVERIES}

    def teardown(self) -> None:
        self._check_taken(self.outboxes[0].take(10**9, 10**9), self.queues[0])
        self.figures_are_exact()
        for outbox in self.outboxes:
            outbox.close()
        assert (self.totals.messages, self.totals.bytes, self.totals.memory.used_bytes) == (0, 0, 0)


TestModel = Model.TestCase


class Watched(Encoded):
    """One that can be seen to go."""

    __slots__ = ("__weakref__",)


def item(data: bytes = b"x") -> Encoded:
    return Encoded(Message(True, data))


def test_memory_stays_bounded_while_a_client_is_stalled() -> None:
    outbox = Outbox(OutboxTotals(), Wire())
    outbox.put_control(item())  # at the head, so that what is dropped lies behind it
    for number in range(10_000):
        assert outbox.put(of(DELIVERIES[0], item())) == (number >= 3)
    assert len(outbox) == 4
    assert len(outbox._queue) < 200


def test_one_publication_over_the_limit_still_goes() -> None:
    outbox = Outbox(OutboxTotals(), Wire())
    big = item(b"x" * 10_000)
    assert outbox.put(of(DELIVERIES[1], big)) == 0
    assert outbox.take(1, 1) == [big]


@given(st.integers(1, 50))
def test_control_items_are_never_dropped(number: int) -> None:
    outbox = Outbox(OutboxTotals(), Wire())
    controls = [item(b"%d" % i) for i in range(number)]
    for control in controls:
        outbox.put_control(control)
        outbox.put(of(DELIVERIES[2], item()))
    taken = outbox.take(10**9, 10**9)
    assert [entry for entry in taken if entry in controls] == controls
    assert len(taken) == number + 1


def test_too_many_control_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONTROL_ITEMS", 100)
    totals = OutboxTotals()
    outbox = Outbox(totals, Wire())
    for _ in range(100):
        outbox.put_control(item())
    with pytest.raises(Overflow):
        outbox.put_control(item())
    assert totals.messages == 100
    outbox.take(1, 1)
    outbox.put_control(item())


def test_too_many_control_bytes() -> None:
    outbox = Outbox(OutboxTotals(), Wire())
    outbox.put_control(item(bytes(MAX_CONTROL_BYTES - 1000)))
    outbox.put_control(item())
    with pytest.raises(Overflow):
        outbox.put_control(item(bytes(1000)))
    outbox.put(of(DELIVERIES[0], item()))


def test_what_many_small_control_items_take_counts() -> None:
    """Their bytes alone are a third of it."""
    outbox, small = Outbox(OutboxTotals(), Wire()), item(bytes(100))
    for _ in range(MAX_CONTROL_BYTES // small.kept_bytes):
        outbox.put_control(small)
    with pytest.raises(Overflow):
        outbox.put_control(small)
    assert len(outbox) < 60_000


def test_what_is_dropped_or_forgotten_is_free_at_once() -> None:
    """By reference counts: no cycle waits for the collector."""
    outbox = Outbox(OutboxTotals(), Wire())
    gc.disable()
    try:
        items = [Watched(Message(True, b"x")) for _ in range(6)]
        watched = [ref(each) for each in items]
        outbox.put_control(items[5])
        for each in items[:5]:
            outbox.put(of(DELIVERIES[0], each))
        del items, each
        assert [each() is None for each in watched] == [True, True, False, False, False, False]
        outbox.close()
        assert all(each() is None for each in watched)
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_the_figure_is_what_it_takes(size: int) -> None:
    """Within a fifth, as the interpreter counts it; many outboxes of one publication each, and one of many."""
    for outboxes, entries in ((1000, 1), (1, 5000)):
        totals = OutboxTotals()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        made = [Outbox(totals, Wire()) for _ in range(outboxes)]
        for outbox in made:
            outbox.put(of(WIDE, *[item(bytes(size)) for _ in range(entries)]))
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert totals.memory.used_bytes == pytest.approx(taken, rel=0.2)

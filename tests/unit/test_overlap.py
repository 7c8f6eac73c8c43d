"""Two subscriptions that bring the same publications: each one delivered once, in the publishers' order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.overlap import Overlap, Source

WINDOW = 0.5
PATTERN, CONCRETE = Source.PATTERN, Source.CONCRETE


def other(source: Source) -> Source:
    return CONCRETE if source is PATTERN else PATTERN


class Receiver:
    """What comes out; ``now`` is the time of the copies."""

    def __init__(self, new: Source) -> None:
        self.overlap = Overlap(new, WINDOW)
        self.delivered: list[bytes] = []
        self.now = 0.0

    def receive(self, source: Source, payload: bytes, name: str = "a") -> bool:
        first = self.overlap.is_first(source, name, payload, self.now)
        if first:
            self.delivered.append(payload)
        return first


@pytest.mark.parametrize("new", Source)
def test_before_the_new_one_is_settled_the_old_one_delivers(new: Source) -> None:
    receiver = Receiver(new)
    assert not receiver.receive(new, b"1")
    assert receiver.receive(other(new), b"1")
    assert receiver.receive(other(new), b"2")
    assert not receiver.receive(new, b"2")
    assert receiver.delivered == [b"1", b"2"]


@pytest.mark.parametrize("new", Source)
def test_settled_the_first_copy_delivers(new: Source) -> None:
    receiver = Receiver(new)
    receiver.overlap.settle_all()
    assert receiver.receive(new, b"1")
    assert not receiver.receive(other(new), b"1")
    assert receiver.receive(other(new), b"2")
    assert not receiver.receive(new, b"2")


def test_names_settle_one_by_one() -> None:
    receiver = Receiver(CONCRETE)
    receiver.overlap.settle("a")
    assert receiver.receive(CONCRETE, b"1", "a")
    assert not receiver.receive(CONCRETE, b"1", "b")
    assert receiver.receive(PATTERN, b"1", "b")
    assert not receiver.receive(PATTERN, b"1", "a")


def test_equal_payloads_are_different_publications() -> None:
    receiver = Receiver(PATTERN)
    receiver.overlap.settle_all()
    assert receiver.receive(PATTERN, b"same")
    assert receiver.receive(PATTERN, b"same")
    assert not receiver.receive(CONCRETE, b"same")
    assert not receiver.receive(CONCRETE, b"same")
    assert receiver.receive(CONCRETE, b"same")


def test_what_had_no_twin_is_forgotten() -> None:
    receiver = Receiver(CONCRETE)
    receiver.overlap.settle("a")
    assert receiver.receive(PATTERN, b"1")
    receiver.now = WINDOW + 0.1
    assert receiver.receive(CONCRETE, b"1")
    assert not receiver.receive(PATTERN, b"1")


def test_memory_follows_the_window() -> None:
    receiver = Receiver(CONCRETE)
    for number in range(1000):
        receiver.now = number * WINDOW / 10
        receiver.receive(PATTERN, b"%d" % number)
    assert len(receiver.overlap._unpaired) < 15
    assert len(receiver.overlap._order) < 15


@st.composite
def changes(draw: st.DrawFn) -> tuple[Source, list[bytes], int, int]:
    """The new source, a publisher's payloads, the first that the new one brings, and how many came before the proof."""
    payloads = draw(st.lists(st.sampled_from([b"A", b"B", b"C"]), min_size=1, max_size=8))
    start = draw(st.integers(0, len(payloads)))
    return draw(st.sampled_from(Source)), payloads, start, draw(st.integers(2 * start, 2 * len(payloads)))


@given(changes())
def test_a_change(change: tuple[Source, list[bytes], int, int]) -> None:
    """NATS writes the copy for the pattern before the one for the subject, and the proof may come between them."""
    new, payloads, start, proof = change
    receiver = Receiver(new)
    copies = 0
    for number, payload in enumerate([*payloads, None]):
        for source in (PATTERN, CONCRETE):
            if copies == proof:
                receiver.overlap.settle_all() if new is PATTERN else receiver.overlap.settle("a")
            copies += 1
            if payload is not None and (source is not new or number >= start):
                receiver.receive(source, payload)
    assert receiver.delivered == payloads


@given(st.sampled_from(Source), st.lists(st.sampled_from([b"A", b"B", b"C"]), max_size=8), st.lists(st.booleans()))
def test_settled_any_interleaving_of_two_ordered_queues(new: Source, payloads: list[bytes], picks: list[bool]) -> None:
    receiver = Receiver(new)
    receiver.overlap.settle_all()
    queues = {PATTERN: list(payloads), CONCRETE: list(payloads)}
    for pick in [*picks, *[True, False] * len(payloads)]:
        queue = queues[PATTERN if pick else CONCRETE] or queues[CONCRETE if pick else PATTERN]
        if queue:
            source = PATTERN if queue is queues[PATTERN] else CONCRETE
            receiver.receive(source, queue.pop(0))
    assert receiver.delivered == payloads

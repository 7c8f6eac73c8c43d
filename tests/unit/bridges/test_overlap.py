"""Two subscriptions that bring the same publications: each one delivered once, in the publishers' order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.bridges.overlap import Overlap, Via

PATTERN, CONCRETE = Via.PATTERN, Via.CONCRETE


def other(source: Via) -> Via:
    return CONCRETE if source is PATTERN else PATTERN


class Receiver:
    """What comes out."""

    def __init__(self, new: Via) -> None:
        self.overlap = Overlap(new, {"a", "b"})
        self.delivered: list[bytes] = []

    def receive(self, source: Via, payload: bytes, name: str = "a") -> bool:
        first = self.overlap.is_first(source, name, payload)
        if first:
            self.delivered.append(payload)
        return first


@pytest.mark.parametrize("new", Via)
def test_the_first_copy_delivers(new: Via) -> None:
    receiver = Receiver(new)
    assert receiver.receive(new, b"1")
    assert not receiver.receive(other(new), b"1")
    assert receiver.receive(other(new), b"2")
    assert not receiver.receive(new, b"2")
    assert receiver.delivered == [b"1", b"2"]


def test_equal_payloads_are_different_publications() -> None:
    receiver = Receiver(PATTERN)
    assert receiver.receive(PATTERN, b"same")
    assert receiver.receive(PATTERN, b"same")
    assert not receiver.receive(CONCRETE, b"same")
    assert not receiver.receive(CONCRETE, b"same")
    assert receiver.receive(CONCRETE, b"same")


def test_other_names_are_served_by_the_new_one_only() -> None:
    """Also what equals a copy of before: it would be taken for its twin."""
    receiver = Receiver(CONCRETE)
    assert not receiver.receive(PATTERN, b"1", "joined")
    assert receiver.receive(CONCRETE, b"1", "joined")
    assert receiver.receive(PATTERN, b"1", "b")
    receiver.overlap.leave_out("b")
    assert not receiver.receive(PATTERN, b"1", "b")
    assert receiver.receive(CONCRETE, b"1", "b")
    assert receiver.receive(CONCRETE, b"1", "b")


def test_what_had_no_twin_is_forgotten_when_none_can_come() -> None:
    receiver = Receiver(CONCRETE)
    assert receiver.receive(PATTERN, b"1")
    mark = receiver.overlap.mark()
    assert not receiver.receive(CONCRETE, b"1"), "its twin, however late: the fence is not back"
    assert receiver.receive(PATTERN, b"2")
    assert receiver.receive(PATTERN, b"3")
    receiver.overlap.forget(mark)
    assert not receiver.receive(CONCRETE, b"2"), "read after the fence was sent"
    receiver.overlap.forget(receiver.overlap.mark())
    assert receiver.receive(CONCRETE, b"3"), "another one, with an equal payload"
    assert not receiver.receive(PATTERN, b"3")


def test_equal_payloads_on_both_sides_of_a_fence() -> None:
    """The one before it is forgotten, the one behind it still has a twin to come."""
    receiver = Receiver(CONCRETE)
    assert receiver.receive(PATTERN, b"1")
    mark = receiver.overlap.mark()
    assert receiver.receive(PATTERN, b"1")
    receiver.overlap.forget(mark)
    assert not receiver.receive(CONCRETE, b"1"), "its twin"
    assert receiver.receive(CONCRETE, b"1"), "another one: that of the first had come before the fence"


def test_memory_follows_the_fences() -> None:
    receiver = Receiver(CONCRETE)
    for number in range(1000):
        if number % 10 == 0:
            receiver.overlap.forget(receiver.overlap.mark())
        receiver.receive(PATTERN, b"%d" % number)
    assert len(receiver.overlap._unpaired) <= 10
    assert len(receiver.overlap._order) <= 10


@given(
    st.sampled_from(Via),
    st.lists(st.sampled_from([b"A", b"B", b"C"]), max_size=8),
    st.lists(st.sampled_from([b"A", b"B", b"C"]), max_size=8),
    st.lists(st.sampled_from([b"A", b"B", b"C"]), max_size=8),
)
def test_a_change(new: Via, before: list[bytes], during: list[bytes], after: list[bytes]) -> None:
    """NATS writes the old copy first; ``during`` the change both come, and fences return."""
    receiver = Receiver(new)
    for payload in before:
        receiver.receive(other(new), payload)
    for payload in during:
        receiver.receive(other(new), payload)
        receiver.receive(new, payload)
        receiver.overlap.forget(receiver.overlap.mark())
    receiver.overlap.forget(receiver.overlap.mark())
    for payload in after:
        receiver.receive(new, payload)
    assert receiver.delivered == before + during + after


@given(st.sampled_from(Via), st.lists(st.sampled_from([b"A", b"B", b"C"]), max_size=8), st.lists(st.booleans()))
def test_settled_any_interleaving_of_two_ordered_queues(new: Via, payloads: list[bytes], picks: list[bool]) -> None:
    receiver = Receiver(new)
    queues = {PATTERN: list(payloads), CONCRETE: list(payloads)}
    for pick in [*picks, *[True, False] * len(payloads)]:
        queue = queues[PATTERN if pick else CONCRETE] or queues[CONCRETE if pick else PATTERN]
        if queue:
            source = PATTERN if queue is queues[PATTERN] else CONCRETE
            receiver.receive(source, queue.pop(0))
    assert receiver.delivered == payloads

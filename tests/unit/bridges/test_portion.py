"""What clients have still to be sent of a page counts once for all of them, and can be let go of."""

from __future__ import annotations

from wsgw.bridges.pages import Page
from wsgw.bridges.portion import Portion
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.shares.memory import Memory


def page(*sequences: int) -> Page:
    publications = tuple(StreamPublication(Publication("orders", b"x", 0.0), "one", n, 0) for n in sequences)
    return Page(0, sequences[-1], publications, 1, False)


def sequences(portion: Portion, count: int) -> list[int]:
    return [one.sequence for one in portion.first(count)]


def test_it_is_sent_in_parts() -> None:
    portion = Portion(Memory())
    assert (bool(portion), portion.first(3)) == (False, [])
    assert portion.take(page(2, 4, 6, 8, 10), 2, 9)
    assert sequences(portion, 2) == [4, 6]
    portion.sent(2)
    assert sequences(portion, 2) == [8], "what is behind the end is not of it"
    assert portion
    portion.sent(1)
    assert not portion
    assert sequences(portion, 2) == []


def test_nothing_between() -> None:
    portion = Portion(Memory())
    assert not portion.take(page(2, 4), 4, 9)
    assert not portion.take(page(2, 4), 2, 3)
    assert not portion.take(page(2, 4), 9, 3)
    assert not portion


def test_many_hold_it_and_it_counts_once() -> None:
    memory, shared = Memory(), page(1, 2, 3)
    portions = [Portion(memory) for _ in range(3)]
    for portion in portions:
        assert portion.take(shared, 0, 3)
    assert memory.used_bytes == shared.held_bytes
    assert [portion.held_bytes() for portion in portions] == [shared.held_bytes // 3] * 3
    portions[0].sent(3)
    portions[1].drop()
    portions[1].drop()
    assert memory.used_bytes == shared.held_bytes == portions[2].held_bytes()
    assert memory._holders == {portions[2]}
    portions[2].take(page(4), 0, 4)
    assert memory.used_bytes == portions[2].held_bytes() < shared.held_bytes
    portions[2].evict()
    assert (memory.used_bytes, portions[2].held_bytes()) == (0, 0)
    assert memory._holders == {portions[2]}, "else it were told as an end"
    portions[2].drop()
    assert not memory._holders

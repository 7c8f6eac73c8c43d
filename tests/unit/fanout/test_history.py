"""The newest publications of a durable channel: what is here, from where on, and what it takes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.fanout import history as module
from wsgw.fanout.history import History
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.shares.memory import Memory


def publication(sequence: int, size: int = 10, stored_at_ns: int | None = None) -> StreamPublication:
    stored = 1000 * sequence if stored_at_ns is None else stored_at_ns
    return StreamPublication(Publication("s", bytes(size), 0.0), "i", sequence, stored)


def filled(*sequences: int, last: int = 0) -> History:
    history = History("i", last, Memory())
    for sequence in sequences:
        history.add(publication(sequence))
    return history


def sequences(found: list[StreamPublication]) -> list[int]:
    return [one.sequence for one in found]


def test_what_came_after() -> None:
    history = filled(3, 4, 7, 8, last=2)
    assert (history.floor, history.last, len(history)) == (2, 8, 4)
    assert sequences(history.after(2, 10)) == [3, 4, 7, 8]
    assert sequences(history.after(3, 2)) == [4, 7]
    assert sequences(history.after(5, 2)) == [7, 8]
    assert history.after(8, 2) == history.after(9, 2) == []
    assert filled(last=5).after(5, 1) == []


def test_the_newest_and_those_since() -> None:
    history = filled(3, 4, 7, last=2)
    assert [history.newest(count) for count in (1, 2, 3, 4)] == [4, 3, 2, None]
    assert [history.since(1000 * second) for second in (2, 3, 4, 5, 7, 8)] == [None, None, 3, 4, 4, 7]
    assert filled(last=2).newest(1) is None
    assert filled(last=2).since(0) is None


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 3)
    assert len(filled(1, 2, 3, 4)) == 3
    history = filled(1, 2, 3, 4, 5)
    assert (history.floor, len(history)) == (2, 3)
    assert sequences(history.after(2, 10)) == [3, 4, 5]
    assert history.bytes == 3 * publication(1).kept_bytes
    monkeypatch.setattr(module, "MAX_BYTES", 2 * publication(1).kept_bytes)
    history.add(publication(6))
    assert (history.floor, sequences(history.after(4, 9))) == (4, [5, 6])


def test_what_was_dropped_is_freed() -> None:
    history = filled(*range(1, 11))
    history.evict()
    kept = [one for one in history._kept if one.sequence]
    assert sequences(kept) == [6, 7, 8, 9, 10]
    assert (history.floor, history.last) == (5, 10)


def test_nor_do_their_places_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 3)
    history = filled(*range(1, 1001))
    assert sequences(history.after(997, 9)) == [998, 999, 1000]
    assert len(history._kept) < 10


def test_a_hole_cuts_it_off() -> None:
    history = filled(1, 2)
    history.cut(5)
    assert (history.floor, history.last, history.bytes, len(history)) == (5, 5, 0, 0)
    history.add(publication(6))
    assert sequences(history.after(5, 9)) == [6]
    history = filled(last=2)
    history.cut(5)
    assert (history.floor, history.last) == (5, 5), "there was nothing"
    history.close()


def test_it_counts_in_the_memory_of_all() -> None:
    memory = Memory()
    history = History("i", 0, memory)
    assert history in memory._holders
    for sequence in range(1, 5):
        history.add(publication(sequence))
    assert memory.used_bytes == history.bytes == history.held_bytes() == 4 * publication(1).kept_bytes
    assert history in memory._holders
    memory.discard(history)  # as ``Memory`` does before
    history.evict()
    assert memory.used_bytes == history.bytes == 2 * publication(1).kept_bytes
    assert history in memory._holders
    history.close()
    assert memory.used_bytes == 0
    assert history not in memory._holders
    assert (len(history), history.floor) == (0, 4)


def test_evicted_to_nothing_it_is_no_client_that_ended() -> None:
    memory = Memory()
    history = History("i", 0, memory)
    history.add(publication(1))
    memory.discard(history)
    history.evict()
    assert (len(history), history.floor, memory.used_bytes) == (0, 1, 0)
    assert history.held_bytes() == 0
    assert history in memory._holders, "who is not was ended, and is counted so"


@given(st.lists(st.integers(1, 3), max_size=60), st.integers(1, 8), st.data())
def test_any_stream(steps: list[int], most: int, data: st.DataObject) -> None:
    history = History("i", 0, Memory())
    all_of_it: list[int] = []
    for step in steps:
        all_of_it.append((all_of_it[-1] if all_of_it else 0) + step)
        history.add(publication(all_of_it[-1]))
        while len(history) > most:
            history._drop(data.draw(st.integers(1, len(history) - 1)))
    last = all_of_it[-1] if all_of_it else 0
    at = data.draw(st.integers(history.floor, last))
    assert sequences(history.after(at, 5)) == [one for one in all_of_it if one > at][:5]
    assert all(one < other for one, other in pairwise([history.floor, *sequences(history.after(history.floor, 99))]))
    for count in range(1, len(history) + 1):
        before = history.newest(count)
        assert before is not None
        assert len(history.after(before, 99)) == count

"""When freed memory goes back to the system."""

from __future__ import annotations

import gc
import sys

from wsgw.shares.heap import LEAST_BYTES, LOOKS_LATER, Heap, give_back


def test_after_a_great_fall_and_once() -> None:
    given: list[int] = []
    heap = Heap(lambda: given.append(1))
    for used in (0, 3 * LEAST_BYTES, 2 * LEAST_BYTES, int(1.6 * LEAST_BYTES)):
        heap.look(used)
    assert given == [], "not to half yet"
    heap.look(LEAST_BYTES)
    assert given == [1]
    heap.look(0)
    assert given == [1, 1]
    heap.look(0)
    assert given == [1, 1], "nothing more was freed"


def test_once_more_a_little_later() -> None:
    given: list[int] = []
    heap = Heap(lambda: given.append(1))
    for used in (2 * LEAST_BYTES, *[0] * (LOOKS_LATER - 1)):
        heap.look(used)
    assert given == [1]
    for used in [0] * 100:
        heap.look(used)
    assert given == [1, 1]


def test_not_for_little() -> None:
    given: list[int] = []
    heap = Heap(lambda: given.append(1))
    heap.look(LEAST_BYTES - 1)
    heap.look(0)
    assert given == []


def test_the_system_takes_it() -> None:
    give_back()


def test_free_lists_do_not_keep_it() -> None:
    """And nothing that lives is looked at, nor set aside for good."""
    alive: list[object] = [[number] for number in range(1000)]
    kept = [(number,) * 3 for number in range(1500, 3000)]  # of a size that has a free list, with 2,000 places
    kept.clear()
    before = sys.getallocatedblocks()
    give_back()
    assert sys.getallocatedblocks() < before - 1000
    assert gc.get_freeze_count() == 0
    assert gc.is_tracked(alive)

"""What is kept for a time, within bounds."""

from __future__ import annotations

from wsgw.shares.kept import Kept


def test_a_value_is_kept_for_its_time_and_its_bytes_are_counted() -> None:
    now = [100.0]
    kept: Kept[str, int] = Kept(10, 1000, lambda: now[0])
    kept.put("a", 1, 5, 40)
    kept.put("b", 2, 50, 60)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), kept.size_bytes) == (1, 2, None, 100)
    now[0] = 105.0
    assert (kept.get("a"), kept.get("b"), kept.size_bytes, len(kept)) == (None, 2, 60, 1)


def test_another_value_takes_the_place_of_one_and_one_without_time_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(10, 1000)
    kept.put("a", 1, 5, 40)
    kept.put("a", 2, 5, 50)
    assert (kept.get("a"), kept.size_bytes) == (2, 50)
    kept.put("a", 3, 0, 50)
    assert (kept.get("a"), kept.size_bytes) == (None, 0)


def test_beyond_the_bounds_those_that_came_first_go() -> None:
    kept: Kept[int, int] = Kept(3, 100)
    for i in range(5):
        kept.put(i, i, 60, 10)
    assert [kept.get(i) for i in range(5)] == [None, None, 2, 3, 4]
    kept.put(5, 5, 60, 85)
    assert [kept.get(i) for i in range(6)] == [None, None, None, None, 4, 5]
    assert kept.size_bytes == 95
    kept.put(6, 6, 60, 101)  # too large for all there is
    assert (kept.get(6), kept.get(5)) == (None, 5)

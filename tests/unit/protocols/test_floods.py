"""What is a flood, and what may go on for ever."""

from __future__ import annotations

from wsgw.protocols.floods import FLOOD_SECONDS, MOST_PER_SECOND, Flood


def seconds_until_flood(per_second: int, parts: int, most: int = 1000) -> int | None:
    """After how many seconds ``per_second``, in so many parts, is a flood; None when it is none in ``most``."""
    flood = Flood(0.0)
    for number in range(most * parts):
        if flood.add(per_second // parts, number / parts):
            return number // parts
    return None


def test_more_than_a_hundred_a_second_for_five_seconds() -> None:
    for parts in (1, 2, 10):
        assert seconds_until_flood(MOST_PER_SECOND + 10, parts) == FLOOD_SECONDS
        assert seconds_until_flood(100 * MOST_PER_SECOND, parts) == FLOOD_SECONDS


def test_fewer_are_welcome_for_ever() -> None:
    for parts in (1, 2, 10):
        assert seconds_until_flood(MOST_PER_SECOND - 10, parts) is None
        assert seconds_until_flood(MOST_PER_SECOND, parts) is None, "just so many"


def test_one_second_that_is_just_right_ends_it() -> None:
    for right in range(FLOOD_SECONDS):
        flood = Flood(0.0)
        for second in range(FLOOD_SECONDS):
            assert not flood.add(MOST_PER_SECOND + (second != right), second + 1.0)


def test_many_at_a_time_are_none_where_they_come_seldom() -> None:
    flood = Flood(0.0)
    assert not any(flood.add(int(1.5 * MOST_PER_SECOND), 2.0 * number) for number in range(1, 100))


def test_a_pause_begins_it_anew() -> None:
    flood, now = Flood(0.0), 0.0
    for _ in range(100):
        for _ in range(FLOOD_SECONDS - 1):
            now += 1.0
            assert not flood.add(1000, now)
        now += 60.0
        assert not flood.add(1, now)


def test_what_piled_up_while_a_client_was_held_is_no_flood() -> None:
    flood = Flood(0.0)
    assert not flood.add(1_000_000, 600.0)
    assert not any(flood.add(1, 600.0 + second) for second in range(100))

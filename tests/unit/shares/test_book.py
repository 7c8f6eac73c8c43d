"""What is remembered by name: bounded, and no longer than there is something to remember."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.shares import book as module
from wsgw.shares.book import Book, Entry, Quota
from wsgw.shares.bucket import Rate

QUOTA = Quota(connections=2, messages=Rate(10, 1))


def found(book: Book, name: str) -> Entry:
    entry = book.find(name)
    assert entry is not None
    return entry


def test_connections() -> None:
    book = Book(QUOTA)
    one, two = found(book, "one"), found(book, "two")
    assert [book.enter(one) for _ in range(3)] == [True, True, False]
    assert book.enter(two)
    book.leave(one)
    assert book.enter(one)
    assert (one.connections, two.connections) == (2, 1)


def test_without_a_limit_connections_are_counted() -> None:
    book = Book(Quota(messages=Rate(1, 1)))
    entry = found(book, "a")
    assert all(book.enter(entry) for _ in range(100))
    assert entry.connections == 100


def test_it_forgets_what_says_nothing() -> None:
    book = Book(QUOTA)
    busy, spent, idle = (found(book, name) for name in ("busy", "spent", "idle"))
    assert book.enter(busy)
    assert spent.messages is not None
    spent.messages.take(5, 10.0)
    book.sweep(10.0)
    assert (found(book, "busy"), found(book, "spent")) == (busy, spent)
    assert len(book) == 2
    assert found(book, "idle") is not idle
    book.sweep(10.5)
    assert len(book) == 1
    book.leave(busy)
    book.sweep(10.5)
    assert len(book) == 0


def test_it_looks_at_all_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few at a time, and whatever the first ones remember."""
    monkeypatch.setattr(module, "SWEPT", 2)
    book = Book(QUOTA)
    for name in "abcdef":
        bucket = found(book, name).messages
        assert bucket is not None
        bucket.charge(1000 if name in "ab" else 1, 0.0)
    for _ in range(4):
        book.sweep(1.0)
    assert len(book) == 2


def test_the_one_heard_of_least_lately_makes_room() -> None:
    book = Book(QUOTA, max_entries=3)
    busy = found(book, "busy")
    assert book.enter(busy)
    old, used = found(book, "old"), found(book, "used")
    found(book, "old")
    new = found(book, "new")
    assert len(book) == 3
    assert (found(book, "busy"), found(book, "old"), found(book, "new")) == (busy, old, new)
    assert found(book, "used") is not used


def test_who_was_swept_was_not_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far the sweep has come: the one heard of least lately makes room."""
    monkeypatch.setattr(module, "SWEPT", 1)
    for sweeps in range(4):
        book = Book(QUOTA, max_entries=3)
        entries = [found(book, name) for name in "abc"]
        for entry in entries:
            assert entry.messages is not None
            entry.messages.charge(1000, 0.0)
        for _ in range(sweeps):
            book.sweep(1.0)
        found(book, "d")
        assert [found(book, name) for name in "bc"] == entries[1:]


def test_who_finds_no_room_is_not_limited_and_those_there_are_keep_their_places() -> None:
    book = Book(QUOTA, max_entries=2)
    entries = [found(book, name) for name in "ab"]
    for entry in entries:
        assert book.enter(entry)
    assert book.find("c") is None
    assert [book.find(name) for name in "ab"] == entries
    book.leave(entries[0])
    assert book.find("c") is not None
    assert book.find("b") is entries[1]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["enter", "leave", "find", "sweep"]))))
def test_connections_are_right_whatever_happens(steps: list[tuple[str, str]]) -> None:
    book = Book(Quota(connections=3, messages=Rate(1, 1)), max_entries=4)
    held: list[Entry] = []
    for name, step in steps:
        if step == "enter":
            entry = book.find(name)
            if entry is not None:
                assert book.enter(entry) is (sum(each is entry for each in held) < 3)
                held += [entry] if sum(each is entry for each in held) < entry.connections else []
        elif step == "leave":
            entry = next((each for each in held if each.name == name), None)
            if entry is not None:
                held.remove(entry)
                book.leave(entry)
        elif step == "find":
            book.find(name)
        else:
            book.sweep(0.0)
        assert len(book) <= 4
        for entry in held:
            assert book.find(entry.name) is entry
            assert entry.connections == sum(each is entry for each in held)
    for entry in held:
        book.leave(entry)
    book.sweep(0.0)
    assert len(book) == 0

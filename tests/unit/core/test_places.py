"""The places of a client in several streams, told together."""

from __future__ import annotations

import asyncio

import pytest

from helpers.fanout import no_overflow
from helpers.waiting import eventually
from wsgw.bridges.place import Coming, Place
from wsgw.channels.position import MAX_STREAMS, parse
from wsgw.core import places as module
from wsgw.core.places import Places
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.sse.wire import SSE_CHANNELS_WIRE

A, B = "a" * 10, "b" * 10


@pytest.fixture
def places() -> Places:
    return Places(StampingSender(SSE_CHANNELS_WIRE, OutboxTotals(), no_overflow), lambda name, place: place.identity)


async def test_they_are_told_once_all_are_known(places: Places) -> None:
    told: list[str] = []
    assert not places.placed("a", Place(Coming.RECOVERED, A, 5))  # before anybody asked
    places.expect(["a", "b"], lambda: told.append("all"))
    assert not told
    assert not places.placed("b", Place(Coming.RECOVERED, B, 7))
    assert told == ["all"]
    assert places.recovered
    assert places.take_gaps() == ([], 0)
    assert places.sender.stamp.text == f"1.{A}-5.{B}-7"
    assert places.placed("a", Place(Coming.GAP, B, 9)), "news"
    assert told == ["all"]
    assert places.sender.stamp.sequences == {"a": 9, "b": 7}


@pytest.mark.parametrize(
    ("missed", "total"), [((3, 4), 7), ((3, None), None), ((0, 0), 0)], ids=["known", "of one not", "none"]
)
async def test_how_many_are_missing(places: Places, missed: tuple[int | None, int | None], total: int | None) -> None:
    places.expect(["a", "b", "c"], lambda: None)
    for name, count in zip("ab", missed, strict=True):
        places.placed(name, Place(Coming.GAP, A, 5, count))
    places.placed("c", Place(Coming.RECOVERED, B, 5))
    assert not places.recovered
    assert places.take_gaps() == (["a", "b"], total)
    assert places.take_gaps() == ([], 0), "it is told once"


def test_nothing_is_recovered_without_a_stream(places: Places) -> None:
    told: list[str] = []
    places.expect([], lambda: told.append("all"))
    assert told == ["all"]
    assert not places.recovered
    places.placed("a", Place(Coming.NEW, A, 5))
    assert not places.recovered


@pytest.mark.parametrize(("first", "second", "missed"), [(3, 4, 7), (None, 4, None), (3, None, None)])
async def test_what_is_missing_stays_so_until_it_is_told(
    places: Places, first: int | None, second: int | None, missed: int | None
) -> None:
    """However often a place is told while others are waited for."""
    places.expect(["a", "b"], lambda: None)
    places.placed("a", Place(Coming.GAP, A, 5, first))
    places.placed("a", Place(Coming.GAP, A, 9, second))
    places.placed("a", Place(Coming.RECOVERED, A, 9))
    places.placed("b", Place(Coming.RECOVERED, B, 7))
    assert not places.recovered
    assert places.take_gaps() == (["a"], missed)


async def test_of_a_name_that_was_left_nothing_is_said(places: Places) -> None:
    places.expect(["a"], lambda: None)
    for number in range(100):
        places.placed(f"room.{number}", Place(Coming.GAP, B, 7))
        places.left(f"room.{number}")
    places.placed("a", Place(Coming.GAP, A, 5))
    assert places.sender.stamp.text == f"1.{A}-5"
    assert places.take_gaps() == (["a"], None)


async def test_nobody_waits_for_ever(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream that cannot be asked keeps no client from the others."""
    monkeypatch.setattr(module, "PLACING_SECONDS", 0.01)
    told: list[str] = []
    places.expect(["a", "b"], lambda: told.append("late"))
    places.placed("a", Place(Coming.RECOVERED, A, 5))
    await eventually(lambda: told, "it is told")
    assert places.expected == {"b"}
    assert not places.recovered
    assert places.placed("b", Place(Coming.RECOVERED, B, 5)), "later"
    assert not places.expected
    assert told == ["late"]


async def test_nobody_is_told_after_the_end(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACING_SECONDS", 0.001)
    told: list[str] = []
    places.expect(["a"], lambda: told.append("all"))
    places.close()
    await asyncio.sleep(0.01)
    places.placed("a", Place(Coming.NEW, A, 5))
    assert not told


async def test_who_is_not_told_in_time_goes_on_saying_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACING_SECONDS", 0.01)
    sender = StampingSender(SSE_CHANNELS_WIRE, OutboxTotals(), no_overflow)
    places = Places(sender, lambda name, place: place.identity, {A: 5, B: 7})
    told: list[str] = []
    places.expect(["a", "b"], lambda: told.append("late"))
    places.placed("a", Place(Coming.RECOVERED, A, 6))
    assert sender.stamp.text == f"1.{A}-6"
    await eventually(lambda: told, "it goes on")
    assert not places.recovered
    assert parse(sender.stamp.text) == {A: 6, B: 7}
    places.placed("a", Place(Coming.GAP, A, 9))
    assert parse(sender.stamp.text) == {A: 9, B: 7}
    places.placed("b", Place(Coming.RECOVERED, B, 8))
    assert sender.stamp.text == f"1.{A}-9.{B}-8"
    assert told == ["late"]


async def test_what_it_goes_on_saying_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACING_SECONDS", 0.01)
    sender = StampingSender(SSE_CHANNELS_WIRE, OutboxTotals(), no_overflow)
    after = {f"{number:010x}": 1 for number in range(MAX_STREAMS)}
    places = Places(sender, lambda name, place: place.identity, after)
    told: list[str] = []
    places.expect(["a", "b"], lambda: told.append("late"))
    places.placed("a", Place(Coming.GAP, A, 6))
    await eventually(lambda: told, "it goes on")
    found = parse(sender.stamp.text)
    assert found is not None
    assert len(found) == MAX_STREAMS
    places.left("b")
    assert sender.stamp.text == f"1.{A}-6"

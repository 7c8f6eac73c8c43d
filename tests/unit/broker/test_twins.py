"""Two connections bring the same: each is delivered once, and in its publisher's order."""

from __future__ import annotations

import random

import pytest

from helpers.fanout import Loop
from wsgw.broker import twins as module
from wsgw.broker.twins import Twins
from wsgw.fanout.publication import Publication


class Two:
    """Both connections, and what is delivered of theirs."""

    def __init__(self, loop: Loop) -> None:
        self.twins = Twins(loop.clock)
        self.got: list[str] = []

    def old(self, *payloads: str) -> None:
        for payload in payloads:
            if self.twins.old_came(hash(payload)):
                self.got.append(payload)

    def new(self, *payloads: str) -> None:
        for payload in payloads:
            publication = Publication("s", payload.encode(), 0.0)
            if self.twins.new_came(hash(payload), self._deliver, publication):
                self._deliver(publication)

    def _deliver(self, publication: Publication) -> None:
        self.got.append(publication.payload.decode())


@pytest.fixture
def two(loop: Loop) -> Two:
    return Two(loop)


def test_the_old_one_leads(two: Two) -> None:
    two.old("a", "b")
    two.new("b", "c", "d")
    assert two.got == ["a", "b"]
    two.old("c")
    assert two.got == ["a", "b", "c"]
    two.twins.cut()
    assert two.got == ["a", "b", "c", "d"]
    two.old("d")
    two.new("e")
    assert two.got == ["a", "b", "c", "d", "e"]


def test_it_is_ahead_at_the_cut(two: Two) -> None:
    two.new("a")
    two.old("a", "b", "c")
    two.twins.cut()
    two.new("b", "c", "d")
    assert two.got == ["a", "b", "c", "d"]
    two.twins.cut()
    assert two.got == ["a", "b", "c", "d"]


def test_what_is_equal_is_counted(two: Two) -> None:
    two.old("a", "a")
    two.new("a", "a", "a")
    assert two.got == ["a", "a"]
    two.old("a")
    assert two.got == ["a"] * 3
    two.new("a", "a")
    two.twins.cut()
    assert two.got == ["a"] * 5


def test_what_the_old_one_brought_alone_is_forgotten(two: Two, loop: Loop) -> None:
    two.old("a")
    loop.now += 1
    two.twins.forget(loop.now)
    two.new("a")
    two.twins.cut()
    assert two.got == ["a", "a"]


def test_but_not_what_it_brought_since(two: Two, loop: Loop) -> None:
    two.old("a")
    loop.now += 1
    two.old("a")
    two.twins.forget(loop.now)
    two.new("a", "a")
    two.twins.cut()
    assert two.got == ["a", "a", "a"]


def test_a_second_copy_may_be_late(two: Two, loop: Loop) -> None:
    two.old("a")
    loop.now += 1000
    two.new("a")
    two.twins.cut()
    assert two.got == ["a"]


def test_a_row_of_equal_ones(two: Two, loop: Loop) -> None:
    """Each was taken for the one before, and the last one missed, were what the old one brought alone not forgotten."""
    two.old("tick")
    for number in range(5):
        loop.now += 0.1
        if number == 2:
            two.twins.forget(loop.now)
        two.new("tick")
        two.old("tick")
    two.twins.cut()
    two.new("tick")
    assert two.got == ["tick"] * 7


def test_what_the_old_one_does_not_bring_is_delivered(two: Two, loop: Loop) -> None:
    two.new("a")
    two.old("b")
    loop.now += 10
    two.twins.forget(loop.now)
    two.twins.cut()
    assert two.got == ["b", "a"]


def test_what_is_remembered_is_bounded(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD", 10)
    two.old(*map(str, range(100)))
    assert len(two.twins._order) == 10
    assert len(two.twins._ahead) == 10


@pytest.mark.parametrize(("bound", "payload"), [("MOST_KEPT", ""), ("MOST_KEPT_BYTES", "x")])
def test_what_is_kept_is_bounded(two: Two, monkeypatch: pytest.MonkeyPatch, bound: str, payload: str) -> None:
    monkeypatch.setattr(module, bound, 10)
    two.new(*[payload] * 10)
    assert not two.twins.full
    two.new(payload)
    assert two.twins.full
    two.old(payload)
    assert not two.twins.full


def test_nothing_is_left(two: Two, loop: Loop) -> None:
    for number in range(100):
        two.old(f"a{number}")
        two.new(f"a{number}", f"b{number}")
        two.old(f"b{number}")
    two.new("c")
    two.twins.cut()
    two.new("d")
    loop.now += 1
    two.twins.forget(loop.now)
    twins = two.twins
    assert not any((twins._ahead, twins._order, twins._kept, twins._kept_by, twins._kept_bytes))


@pytest.mark.parametrize("seed", range(50))
def test_any_interleaving(seed: int, loop: Loop) -> None:
    """Of several publishers' messages, which each connection brings in each publisher's order."""
    chance = random.Random(seed)
    two = Two(loop)
    sent = {publisher: [f"{publisher}{number}" for number in range(200)] for publisher in "abc"}
    late = {publisher: chance.randrange(20) for publisher in "abc"}  # the new one begins with
    old = {publisher: list(messages) for publisher, messages in sent.items()}
    new = {publisher: list(messages[late[publisher] :]) for publisher, messages in sent.items()}
    fast = chance.random()
    cut = False
    while any(new.values()) or not cut:
        from_old = chance.random() < fast
        publisher = chance.choice("abc")
        left = old if from_old else new
        if left[publisher]:
            (two.old if from_old else two.new)(left[publisher].pop(0))
        brought = all(len(old[name]) <= 200 - late[name] for name in "abc")
        if not cut and brought and (chance.random() < 0.01 or not any(new.values())):
            cut = True
            two.twins.cut()
    for publisher in "abc":
        assert [payload for payload in two.got if payload[0] == publisher] == sent[publisher]

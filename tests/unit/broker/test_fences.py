"""Which publish is proven by which fence, against a model of a server that handles lines in order."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wsgw.broker.fences import Fences
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE, UNCONFIRMED, GatewayError

LOST = GatewayError(UNCONFIRMED, "lost")


class Told:
    """Collects what publishes are told, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, GatewayError | None]] = []


def add(fences: Fences, told: Told, name: str, subject: str = "a", size: int = 1) -> None:
    fences.add(subject, 1, size, lambda error: told.all.append((name, error)))


def test_a_fence_settles_what_was_added_before_it() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1")
    add(fences, told, "2")
    number = fences.seal(5.0)
    add(fences, told, "3")
    assert (fences.messages, fences.bytes, fences.oldest_sent_at()) == (3, 3, 5.0)
    fences.returned(number)
    assert told.all == [("1", None), ("2", None)]
    assert (fences.messages, fences.bytes, fences.oldest_sent_at()) == (1, 1, None)


def test_a_fence_settles_those_before_it() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1")
    first = fences.seal(1.0)
    add(fences, told, "2")
    second = fences.seal(2.0)
    assert second > first
    assert fences.oldest_sent_at() == 1.0
    fences.returned(second)
    assert [name for name, _ in told.all] == ["1", "2"]
    fences.returned(first)
    fences.returned(999)
    fences.returned(0)
    assert len(told.all) == 2


def test_a_refusal_is_for_the_subject() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1", "Orders.New")
    add(fences, told, "2", "orders.new")
    add(fences, told, "3", "Orders.New")
    number = fences.seal(0.0)
    add(fences, told, "4", "Orders.New")
    fences.denied("Orders.New", "said so")
    fences.returned(number)
    fences.returned(fences.seal(0.0))
    by_name = dict(told.all)
    assert by_name["2"] is by_name["4"] is None
    for name in ("1", "3"):
        error = by_name[name]
        assert error is not None
        assert error.kind is FORBIDDEN
        assert error.message == "NATS refuses 'Orders.New': said so"


def test_a_refusal_of_nothing_that_is_out_leaves_a_doubt() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1")
    fences.add("", 0, 0, lambda error: told.all.append(("barrier", error)))
    first = fences.seal(0.0)
    add(fences, told, "2")
    fences.denied("other", "no")
    fences.returned(first)
    fences.returned(fences.seal(0.0))
    by_name = dict(told.all)
    assert by_name["1"] is not None
    assert by_name["1"].kind is UNCONFIRMED
    assert by_name["barrier"] is by_name["2"] is None


def test_a_server_that_makes_subjects_up_fills_nothing() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1", "a")
    add(fences, told, "2", "b")
    for number in range(100):
        fences.denied(f"made.up.{number}", "no")
    assert len(fences._open.denied) <= 3
    fences.denied("a", "no")
    fences.returned(fences.seal(0.0))
    assert [error is not None for _, error in told.all] == [True, True]


async def test_what_nats_has_no_room_for() -> None:
    """The last ones of the oldest batch that is out."""
    fences = Fences()
    assert fences.overflowed() is None
    one, two, three, four = [NatsSubscription(name, lambda publication: None) for name in "abcd"]
    fences.subscribed([one])
    fences.subscribed([two, three])
    assert fences.overflowed() is three
    number = fences.seal(0.0)
    fences.subscribed([four])
    assert fences.overflowed() is two
    fences.returned(number)
    assert fences.overflowed() is four
    assert fences.overflowed() is None


def test_a_refusal_of_something_else_hides_none() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1")
    number = fences.seal(0.0)
    fences.denied("other", "no")
    fences.denied("a", "said so")
    fences.returned(number)
    ((_, error),) = told.all
    assert error is not None
    assert (error.kind, error.message) == (FORBIDDEN, "NATS refuses 'a': said so")


def test_a_refusal_does_not_stay() -> None:
    fences, told = Fences(), Told()
    fences.denied("a", "no")
    fences.returned(fences.seal(0.0))
    add(fences, told, "1")
    fences.returned(fences.seal(0.0))
    assert told.all == [("1", None)]


def test_refusals_are_forgotten_with_what_they_can_be_of() -> None:
    fences = Fences()
    number = fences.seal(0.0)
    fences.refusals = 2
    fences.returned(number + 1)
    fences.returned(number)
    assert fences.refusals == 0
    fences.refusals = 2
    fences.returned(number)
    assert fences.refusals == 2, "this one was back before"


def test_a_loss_fails_everything_once() -> None:
    fences, told = Fences(), Told()
    add(fences, told, "1")
    number = fences.seal(0.0)
    add(fences, told, "2")
    fences.fail(LOST)
    assert told.all == [("1", LOST), ("2", LOST)]
    fences.returned(number)
    fences.fail(LOST)
    assert len(told.all) == 2
    assert (fences.messages, fences.bytes, fences.oldest_sent_at()) == (0, 0, None)


def test_an_outcome_that_fails_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: GatewayError | None) -> None:
        raise ZeroDivisionError

    fences, told = Fences(), Told()
    for _ in range(2):
        fences.add("a", 1, 1, fail)
        add(fences, told, "1")
        number = fences.seal(1.0)
    fences.add("a", 1, 1, fail)
    add(fences, told, "2")
    fences.returned(number)
    fences.fail(LOST)
    assert told.all == [("1", None), ("1", None), ("2", LOST)]
    assert caplog.text.count("telling the outcome") == 3


def test_outcomes_may_publish_again() -> None:
    fences = Fences()
    done: list[str] = []

    def first(_: GatewayError | None) -> None:
        done.append("first")
        fences.add("a", 1, 1, lambda _: done.append("second"))

    fences.add("a", 1, 1, first)
    fences.returned(fences.seal(0.0))
    assert (done, fences.messages) == (["first"], 1)
    fences.fail(GatewayError(NATS_UNAVAILABLE, "gone"))
    assert (done, fences.messages) == (["first", "second"], 0)


class Server(RuleBasedStateMachine):
    """Handles publishes and fences in order, refuses some subjects, and may go away."""

    def __init__(self) -> None:
        super().__init__()
        self.fences = Fences()
        self.lines: list[tuple[str, str | int]] = []  # on their way to the server; publishes by name
        self.back: list[tuple[str, str | int]] = []  # on their way from it
        self.sizes: dict[str, int] = {}
        self.subjects: dict[str, str] = {}
        self.outcomes: dict[str, GatewayError | None] = {}
        self.settled: list[str] = []
        self.served: set[str] = set()
        self.known = 0

    @rule(subject=st.sampled_from(["ok", "Denied"]), size=st.integers(0, 9))
    def publish(self, subject: str, size: int) -> None:
        name = str(self.known)
        self.known += 1
        self.sizes[name], self.subjects[name] = size, subject

        def outcome(error: GatewayError | None) -> None:
            assert name not in self.outcomes, "told twice"
            self.outcomes[name] = error
            self.settled.append(name)

        self.fences.add(subject, 1, size, outcome)
        self.lines.append(("pub", name))

    @rule()
    def seal(self) -> None:
        self.lines.append(("fence", self.fences.seal(0.0)))

    @precondition(lambda self: self.lines)
    @rule()
    def serve(self) -> None:
        what, value = self.lines.pop(0)
        if what == "fence":
            self.back.append((what, value))
            return
        self.served.add(str(value))
        if self.subjects[str(value)] == "Denied":
            self.back.append(("denied", "Denied"))

    @precondition(lambda self: self.back)
    @rule()
    def hear(self) -> None:
        what, value = self.back.pop(0)
        if what == "fence":
            self.fences.returned(int(value))
        else:
            self.fences.denied(str(value), "no")

    @rule()
    def lose(self) -> None:
        self.lines.clear()
        self.back.clear()
        self.fences.fail(LOST)
        assert len(self.outcomes) == self.known

    @invariant()
    def in_order_and_counted(self) -> None:
        assert self.settled == sorted(self.settled, key=int)
        open_ = [name for name in self.sizes if name not in self.outcomes]
        assert (self.fences.messages, self.fences.bytes) == (len(open_), sum(self.sizes[name] for name in open_))

    @invariant()
    def nobody_is_told_a_lie(self) -> None:
        for name, error in self.outcomes.items():
            if error is None:
                assert name in self.served, "told before NATS had it"
                assert self.subjects[name] == "ok"
            else:
                assert error is LOST or (name in self.served and self.subjects[name] == "Denied")


TestServer = Server.TestCase

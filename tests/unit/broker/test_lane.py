"""The window of one stream, and when it is closed."""

from __future__ import annotations

import logging

import pytest

from wsgw.broker import lane as module
from wsgw.broker.lane import Call, Lane, Message
from wsgw.broker.puback import Receipt, Stored
from wsgw.channels.durable import Durable
from wsgw.errors import NOT_STORED, GatewayError


def ignore(_: list[Receipt] | GatewayError) -> None:
    """Told nobody."""


def queued(lane: Lane, *sizes: int) -> list[Message]:
    call = Call(len(sizes), ignore)
    messages = [Message(lane, "s", bytes(size), "t", "i", 5.0, call, at) for at, size in enumerate(sizes)]
    lane.queue.extend(messages)
    return messages


@pytest.fixture
def lane() -> Lane:
    return Lane(Durable("S"))


def test_as_many_as_there_is_room_for_in_order(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_MESSAGES", 3)
    messages = queued(lane, *[1] * 5)
    assert lane.take() == messages[:3]
    assert lane.take() == []
    lane.left(messages[1], stored=True)
    assert lane.take() == messages[3:4]
    assert [*lane.queue] == messages[4:]


def test_as_many_bytes(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_BYTES", 10)
    messages = queued(lane, 6, 4, 1, 100, 1)
    assert lane.take() == messages[:2]
    lane.left(messages[0], stored=True)
    assert lane.take() == messages[2:3], "a large one waits until it is alone"
    lane.left(messages[1], stored=False)
    assert lane.take() == []
    lane.left(messages[2], stored=True)
    assert lane.take() == messages[3:4]
    assert lane.take() == []
    lane.left(messages[3], stored=True)
    assert lane.take() == messages[4:]


def test_closed_for_longer_each_time(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    one, other = queued(lane, 1, 1)
    lane.take()
    one.unanswered = other.unanswered = 1
    closed = []
    now = 100.0
    for _ in range(6):
        one.unanswered = 1
        lane.refused(one, "later", now)
        closed.append(round(lane.closed_until - now, 3))
        now = lane.closed_until
    assert closed == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    lane.left(other, stored=True)
    lane.refused(one, "later", now)
    assert round(lane.closed_until - now, 3) == 0.1, "it was there meanwhile"


def test_refused_together_is_once(lane: Lane) -> None:
    one, other = queued(lane, 1, 1)
    for message in (one, other):
        message.unanswered = 2
        lane.refused(message, "no stream takes it", 100.0)
        assert (message.unanswered, message.said) == (1, "no stream takes it")
    assert one.repeat_at == other.repeat_at == lane.closed_until
    assert 100.0 < lane.closed_until <= 100.1


def test_a_call_is_told_when_all_of_it_is(caplog: pytest.LogCaptureFixture) -> None:
    told: list[list[Receipt] | GatewayError] = []
    call = Call(3, told.append)
    error = GatewayError(NOT_STORED, "no")
    call.tell(2, Stored(9))
    call.tell(0, error)
    assert told == []
    call.tell(1, Stored(8, True))
    assert told == [[error, Stored(8, True), Stored(9)]]


def test_a_fault_of_who_is_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("boom")

    Call(1, fail).tell(0, Stored(1))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]

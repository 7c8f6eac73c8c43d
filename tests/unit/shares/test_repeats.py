"""Log lines that come often: once in a time, with their number."""

from __future__ import annotations

import logging

import pytest

from wsgw.shares import repeats as module
from wsgw.shares.repeats import PERIOD_SECONDS, Repeats


@pytest.fixture
def now() -> list[float]:
    return [5.0]


@pytest.fixture
def repeats(now: list[float]) -> Repeats:
    return Repeats(logging.getLogger("wsgw.test"), clock=lambda: now[0])


def test_once_in_a_time(repeats: Repeats, now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    said = [repeats.say(logging.WARNING, "a", f" of {number}") for number in range(5)]
    assert repeats.say(logging.ERROR, "b", error=ValueError("trace"))
    now[0] += PERIOD_SECONDS
    said.append(repeats.say(logging.WARNING, "a"))
    now[0] += PERIOD_SECONDS
    said.append(repeats.say(logging.WARNING, "a"))
    assert said == [True, False, False, False, False, True, True]
    assert caplog.messages == ["a of 0", "b", "a (4 more since the last such line)", "a"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "WARNING", "WARNING"]
    assert "ValueError: trace" in caplog.text


def test_a_sign_of_percent_is_one(repeats: Repeats, caplog: pytest.LogCaptureFixture) -> None:
    repeats.say(logging.WARNING, "100 %s", " %d")
    assert caplog.messages == ["100 %s %d"]


def test_one_may_stand_for_many(repeats: Repeats, now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for count in (2, 5, 6):
        repeats.say(logging.WARNING, "a", " %d at once", count, count=count)
    now[0] += PERIOD_SECONDS
    repeats.say(logging.WARNING, "a")
    assert caplog.messages == ["a 2 at once", "a (11 more since the last such line)"]


def test_as_many_different_ones_as_a_server_likes(
    repeats: Repeats, now: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 2)
    for _ in range(2):
        for line in "abcd":
            repeats.say(logging.WARNING, line)
    assert caplog.messages == ["a", "b"]
    assert len(repeats._said) == 2
    now[0] += PERIOD_SECONDS
    for line in "ef":
        repeats.say(logging.WARNING, line)
    assert caplog.messages[2:] == ["e (6 others were left out)", "f"]
    assert len(repeats._said) == 2

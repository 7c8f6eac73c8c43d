"""When callbacks run: at the end of what is being done, or in the next tick."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsgw.fanout.turn import Turn


def test_at_the_end_of_a_run() -> None:
    later: list[Callable[[], None]] = []
    turn = Turn(later.append)
    told: list[object] = []

    def work(data: bytes) -> None:
        turn.call_soon(lambda: told.append("end"))
        told.append(data)

    turn.run(work, b"x")
    assert told == [b"x", "end"]
    assert later == []


def test_in_the_next_tick_when_nothing_runs() -> None:
    later: list[Callable[[], None]] = []
    turn = Turn(later.append)
    turn.run(lambda data: None, b"")
    turn.call_soon(print)
    turn.call_later(repr)  # type: ignore[arg-type]  # it is not called
    assert later == [print, repr]


def test_a_callback_of_a_callback_is_for_the_next_tick() -> None:
    later: list[Callable[[], None]] = []
    turn = Turn(later.append)
    turn.run(lambda data: turn.call_soon(lambda: turn.call_soon(print)), b"")
    assert later == [print]


def test_faults(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def work(data: bytes) -> None:
        turn.call_soon(lambda: 1 / 0)  # type: ignore[arg-type]
        turn.call_soon(lambda: told.append("other"))
        raise KeyError

    turn = Turn(lambda callback: None)
    with pytest.raises(KeyError):
        turn.run(work, b"")
    assert told == ["other"]
    assert "handing on what was read failed" in caplog.text
    turn.run(lambda data: turn.call_soon(lambda: told.append("again")), b"")
    assert told == ["other", "again"]

"""Open files: what is kept free, and for whom."""

from __future__ import annotations

import os
import resource

import pytest

from wsgw.shares.files import Files, Standing


def test_the_last_ones_are_kept_free() -> None:
    files = Files(40, 1000)
    others = files.open
    assert 3 <= others <= len(os.listdir("/proc/self/fd")) + 1
    standings: dict[Standing, int] = {}
    for count in range(1, 1000 - others + 1):
        files.connections = range(count)
        standings.setdefault(files.standing(), count)
    room = 1000 - others
    assert standings == {Standing.FREE: 1, Standing.SHORT: room - 39, Standing.NONE: room - 9}
    assert files.open == 1000


def test_the_reserve_takes_no_more_than_half() -> None:
    files = Files(1000, 200)
    assert files.reserve == 100
    files.connections = range(10)
    assert files.standing() is Standing.FREE


def test_what_the_process_may_have_open(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = 500
    monkeypatch.setattr(resource, "getrlimit", lambda of: (soft, 1000) if of == resource.RLIMIT_NOFILE else (0, 0))
    assert Files(10).limit == 500
    soft = resource.RLIM_INFINITY
    assert Files(10).limit > 10**6, "which is -1 here"


class Idle:
    def __init__(self, gone: list[str], name: str) -> None:
        self.gone, self.name = gone, name

    def abort(self) -> None:
        self.gone.append(self.name)


def test_those_go_first_that_have_been_waited_for_longest() -> None:
    files, gone = Files(40, 1000), list[str]()
    assert not files.make_room()
    for name in ("a", "b", "c"):
        files.idle[Idle(gone, name)] = None
    assert files.make_room()
    assert files.make_room()
    assert gone == ["a", "b"]
    assert len(files.idle) == 1


def test_what_is_set_aside_is_open() -> None:
    files = Files(2, 8, others=0)
    files.connections = range(6)
    assert (files.open, files.standing()) == (6, Standing.FREE)
    files.set_aside(1)
    assert (files.open, files.standing()) == (7, Standing.SHORT)
    files.set_aside(1)
    assert files.standing() is Standing.NONE

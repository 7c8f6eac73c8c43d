"""The short form of what is fuzzed: some cases of each target, by our own mutations, the same each time. About 30 s.

``make fuzz`` is the long form.
"""

from __future__ import annotations

import time
from itertools import repeat
from mmap import mmap

import pytest

from fuzz import watch as module
from fuzz.mutation import Mutations
from fuzz.table import TARGETS
from fuzz.target import Target, cut, plain
from fuzz.watch import MAX_GROWTH_BYTES, Finding, watch

SECONDS = 0.8
#: What takes longer for each case, or has more ways.
LONGER = {"connection": 4.0, "config": 2.0}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str, environment: None) -> None:
    target = TARGETS[name]
    with target.begin() as run:
        for seed in target.seeds:
            run(seed)
        found = watch(name, run, iter(Mutations(target, 1).next, None), LONGER.get(name, SECONDS))
    print(name, found)
    assert found.cases > 0


class TestWatch:
    """It finds what it is for."""

    def test_what_is_raised(self) -> None:
        def run(data: bytes) -> None:
            if data == b"bad":
                raise KeyError(data)

        with pytest.raises(Finding, match=r"x: raised KeyError: b'bad'; the input: b'bad'"):
            watch("x", run, iter([b"good", b"bad"]), 10)

    def test_what_takes_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_CASE_SECONDS", 0.01)
        with pytest.raises(Finding, match=r"x: took \d+\.\d s"):
            watch("x", lambda data: time.sleep(0.02), repeat(b""), 10)

    def test_memory_that_stays(self) -> None:
        kept: list[mmap] = []
        size = 2 * MAX_GROWTH_BYTES // 2000

        def keep(data: bytes) -> None:
            new = mmap(-1, size)  # from the system: what tests before gave back to the allocator is resident already
            new.write(data * size)
            kept.append(new)

        with pytest.raises(Finding, match="bytes more than after the warm-up, 5000 cases on"):
            watch("x", keep, repeat(b"x"), 3600, 5000)
        for each in kept:
            each.close()

    def test_figures(self) -> None:
        told = watch("x", lambda data: None, repeat(b""), 60, 1000)
        assert told.cases == 1000
        assert told.slowest_seconds < told.seconds < 60


class TestMutations:
    """They change what they begin with, by the words too, within the bound, and the same for the same seed."""

    target = Target("x", plain(lambda data: None), [b"hello, world", b"other"], [b"WORD"], max_bytes=20)

    def test_inputs(self) -> None:
        mutations = Mutations(self.target, 1)
        made = [mutations.next() for _ in range(2000)]
        assert max(map(len, made)) == 20
        assert len(set(made)) > 1500
        assert any(b"WORD" in data for data in made)
        again = Mutations(self.target, 1)
        assert [again.next() for _ in range(2000)] == made
        other = Mutations(self.target, 2)
        assert [other.next() for _ in range(2000)] != made

    def test_cut(self) -> None:
        for data in (b"", b"a", bytes(range(100))):
            assert b"".join(cut(data)) == data

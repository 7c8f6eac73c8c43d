"""When files are due to be read again."""

from __future__ import annotations

import asyncio

import pytest

from helpers.threads import no_threads
from helpers.waiting import arrived
from wsgw.process import watch as module
from wsgw.process.watch import Watch


class Files:
    """What looks see, one after the other, the last one for ever; ``looks`` are those that were taken."""

    def __init__(self, *states: int) -> None:
        self.states = list(states)
        self.looks: list[int] = []

    def look(self) -> int:
        self.looks.append(self.states.pop(0) if len(self.states) > 1 else self.states[0])
        return self.looks[-1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


async def test_when_two_looks_see_the_same_that_is_new() -> None:
    files = Files(1, 1, 2, 3, 4, 4)
    watch = Watch(1, files.look, "looking")
    await watch.due()
    assert files.looks == [1, 1, 2, 3, 4, 4]
    watch.read(await watch.look())
    looking = asyncio.create_task(watch.due())
    await arrived(files.looks, 12)
    assert not looking.done()
    looking.cancel()


async def test_when_asked() -> None:
    files = Files(1)
    watch = Watch(1, files.look, "looking")
    watch.looks = False
    watch.request()
    await watch.due()
    due = asyncio.create_task(watch.due())
    await watch.later()
    await due
    assert files.looks == []


async def test_where_there_is_no_thread_it_looks_again() -> None:
    files = Files(2)
    watch = Watch(1, files.look, "looking")
    due = asyncio.create_task(watch.due())
    with no_threads() as refused:
        await arrived(refused, 3)
    await due
    assert files.looks == [2, 2]

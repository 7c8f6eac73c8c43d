"""Work that several wait for: once, and not for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from wsgw.bridges.shared import Shared


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault is not None:
            raise self.fault
        return number


@pytest.fixture
async def shared() -> AsyncIterator[Shared[int]]:
    made: Shared[int] = Shared("work")
    yield made
    await made.close()


async def test_it_is_done_once_for_all_who_want_the_same(shared: Shared[int]) -> None:
    work, other = Work(), Work()
    waiting = [shared.wait("a", work) for _ in range(3)]
    waiting.append(shared.wait("b", other))
    await asyncio.sleep(0)
    assert len(shared) == 2
    for each in (work, other):
        each.gate.set()
    assert await asyncio.gather(*waiting) == [1, 1, 1, 1]
    assert (work.begun, other.begun, len(shared)) == (1, 1, 0)
    assert await shared.wait("a", work) == 2


async def test_it_ends_when_nobody_waits_any_more(shared: Shared[int]) -> None:
    work = Work()
    one, other = shared.wait("a", work), shared.wait("a", work)
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    assert not other.done()
    other.cancel()
    await asyncio.sleep(0)
    again = shared.wait("a", work)
    await asyncio.sleep(0)
    assert (work.begun, work.cancelled) == (2, 1)
    work.gate.set()
    assert await again == 2


async def test_a_fault_is_told_to_all(shared: Shared[int]) -> None:
    work = Work()
    work.fault = RuntimeError("no")
    work.gate.set()
    found = await asyncio.gather(*[shared.wait("a", work) for _ in range(2)], return_exceptions=True)
    assert found == [work.fault, work.fault]


async def test_closed_nothing_goes_on() -> None:
    shared: Shared[int] = Shared("work")
    work = Work()
    waiting = shared.wait("a", work)
    await asyncio.sleep(0)
    await shared.close()
    assert work.cancelled == 1
    assert waiting.cancelled()
    assert len(shared) == 0

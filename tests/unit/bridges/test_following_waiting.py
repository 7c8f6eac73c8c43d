"""Those who have to wait for where they stand, or for their client: seldom looked after, in turn, and let go of."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest

from helpers.made_stream import MadeClient, MadeStream, after
from helpers.waiting import arrived, eventually
from wsgw.bridges import following as module
from wsgw.bridges.following import Following
from wsgw.bridges.place import Coming
from wsgw.channels.start import Start
from wsgw.fanout.history import History
from wsgw.shares.slices import Slices


@pytest.fixture
async def stream() -> MadeStream:
    return MadeStream()


async def test_one_that_ends_does_not_wait_for_room(stream: MadeStream) -> None:
    stream.store(2)
    client = MadeClient(stream, after(2))
    client.following.end()
    client.link.pause()
    for _ in range(10):
        following = Following(stream, "orders", client.sender, after(1), client.places.append)
        following.begin()
        following.end()
    assert not client.sender._room


async def test_who_is_ahead_looks_less_and_less_often(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who says so may be lying, of many names."""
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01, 5.0))
    monkeypatch.setattr(module, "AHEAD_SECONDS", 0.5)
    looked = 0
    find = Following._find_after

    def count(of: Following, history: History, sequence: int | None) -> bool:
        nonlocal looked
        looked += 1
        return find(of, history, sequence)

    monkeypatch.setattr(Following, "_find_after", count)
    stream.store(1)
    client = MadeClient(stream, after(5))
    await eventually(lambda: client.places, "it is told in the end")
    assert client.coming == [Coming.GAP]
    assert looked < 12


async def test_many_who_waited_for_the_same_take_turns(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(stream.slices, "_clock", lambda: next(clock) / 100)  # each takes a tick's time
    stream.store(1)
    clients = [MadeClient(stream, Start(after={"abcdefabcd": 1})) for _ in range(10)]
    placed: list[int] = []
    for _ in range(40):
        await asyncio.sleep(0)
        placed.append(sum(bool(client.places) for client in clients))
    assert placed[-1] == 10
    assert max(after - before for before, after in pairwise(placed)) == 1


async def test_one_that_ends_lets_go_of_what_it_asked(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    looking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(stream, "recheck", lambda: asyncio.shield(looking))
    client = MadeClient(stream, Start(after={"abcdefabcd": 1}))
    assert looking._callbacks
    client.following.end()
    await asyncio.sleep(0)
    assert not looking._callbacks
    looking.set_result(None)
    await asyncio.sleep(0)
    assert not client.places


async def test_once_the_tick_is_spent_who_comes_takes_its_turn(
    stream: MadeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.store(4)
    monkeypatch.setattr(Slices, "until", lambda _: math.inf)
    first = MadeClient(stream, after(0))
    assert first.sequences == [1, 2, 3, 4]
    monkeypatch.setattr(Slices, "spent", lambda _: True)
    second = MadeClient(stream, after(0))
    assert second.coming == [Coming.RECOVERED]
    assert not second.link.data
    stream.store(1)
    await arrived(second.link.data, 5)
    assert second.sequences == [1, 2, 3, 4, 5]

"""What is kept for clients: one figure, and who goes first where it is too much."""

from __future__ import annotations

import asyncio

import pytest

from helpers.fanout import Loop
from wsgw.shares import memory as module
from wsgw.shares.memory import HOLDER_BYTES, IN_VAIN_SECONDS, MAX_EVICTIONS, Memory


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RELIEVING_SECONDS", 60.0)


class Client:
    """A ``Holder`` of ``size`` KiB."""

    def __init__(self, memory: Memory, size: int) -> None:
        self.memory, self.size, self.ended = memory, 0, False
        memory.register(self)
        self.grow(size * HOLDER_BYTES)

    def grow(self, size: int) -> None:
        self.size += size
        self.memory.add(size)

    def held_bytes(self) -> int:
        return self.size

    def evict(self) -> None:
        self.ended = True
        self.memory.discard(self)
        self.memory.add(-self.size)


async def test_the_largest_go_first_and_only_as_many_as_it_takes() -> None:
    memory = Memory(1000 * HOLDER_BYTES, asyncio.get_running_loop())
    told: list[int] = []
    memory.on_evicted = told.append
    clients = [Client(memory, size) for size in (100, 400, 300, 200)]
    assert not memory.full, "the limit itself is no excess"
    await asyncio.sleep(0)
    assert not any(client.ended for client in clients)
    clients[0].grow(HOLDER_BYTES)
    assert memory.full
    await asyncio.sleep(0)
    assert [client.ended for client in clients] == [False, True, False, False]
    assert memory.used_bytes == 601 * HOLDER_BYTES
    assert told == [1]


async def test_it_goes_on_until_a_tenth_is_free() -> None:
    memory = Memory(1000 * HOLDER_BYTES, asyncio.get_running_loop())
    clients = [Client(memory, 5) for _ in range(300)]
    while memory.full:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0)
    assert memory.used_bytes <= 900 * HOLDER_BYTES
    assert sum(client.ended for client in clients) == 120, "no more than it takes, over several ticks"


async def test_what_is_not_registered_is_not_ended() -> None:
    memory = Memory(100 * HOLDER_BYTES, asyncio.get_running_loop())
    client = Client(memory, 50)
    memory.discard(client)
    memory.add(100 * HOLDER_BYTES)
    await asyncio.sleep(0)
    assert memory.full
    assert not client.ended


def in_ticks(limit_bytes: int) -> tuple[Memory, Loop]:
    loop = Loop()
    return Memory(limit_bytes * HOLDER_BYTES, loop), loop  # type: ignore[arg-type]


def looks(loop: Loop) -> int:
    """How often the holders are looked through in the next tick."""
    count = len(loop.callbacks)
    loop.tick()
    return count


def test_holders_are_looked_through_once_a_tick_and_only_above_the_limit() -> None:
    memory, loop = in_ticks(100)
    memory.add(100 * HOLDER_BYTES)
    memory.add(-1)
    assert looks(loop) == 0
    for _ in range(3):
        memory.add(10)
    assert looks(loop) == 1
    assert looks(loop) == 0, "nobody can be ended: looking again would find nobody"
    memory.add(10)
    assert looks(loop) == 1


def test_who_is_over_the_limit_for_less_than_a_tick_is_not_ended() -> None:
    memory, loop = in_ticks(1000)
    client = Client(memory, 1001)
    client.grow(-51 * HOLDER_BYTES)
    assert (looks(loop), client.ended) == (1, False)
    client.grow(51 * HOLDER_BYTES)
    assert (looks(loop), client.ended) == (1, True)


def test_those_who_free_nothing_are_ended_once_and_then_the_next() -> None:
    class Empty(Client):
        """What it says it holds is freed later."""

        def evict(self) -> None:
            assert not self.ended, "ended twice"
            self.ended = True

    memory, loop = in_ticks(MAX_EVICTIONS * 10)
    empty = [Empty(memory, 10) for _ in range(MAX_EVICTIONS)]
    small = Client(memory, 9)
    assert (looks(loop), small.ended) == (1, False)
    assert all(client.ended for client in empty)
    assert (looks(loop), small.ended) == (0, False), "it would be in vain, too"
    memory.add(1)
    assert looks(loop) == 0
    ((seconds, look),) = loop.later
    assert seconds == IN_VAIN_SECONDS
    look()
    assert small.ended
    assert len(loop.later) == 1, "that one freed what it held"


def test_it_is_in_vain_too_where_they_free_less_than_half() -> None:
    class Slow(Client):
        """Most of what it holds is freed later."""

        def evict(self) -> None:
            self.ended = True
            self.memory.discard(self)
            self.memory.add(-4 * HOLDER_BYTES)

    memory, loop = in_ticks(MAX_EVICTIONS * 10)
    slow = [Slow(memory, 10) for _ in range(2 * MAX_EVICTIONS)]
    assert looks(loop) == 1
    assert sum(client.ended for client in slow) == MAX_EVICTIONS
    assert looks(loop) == 0
    memory.add(1)
    assert (looks(loop), len(loop.later)) == (0, 1)
    loop.later[0][1]()
    assert all(client.ended for client in slow)


def test_where_much_is_freed_the_next_go_in_the_next_tick() -> None:
    memory, loop = in_ticks(MAX_EVICTIONS * 10)
    clients = [Client(memory, 10) for _ in range(3 * MAX_EVICTIONS)]
    for ticks in (1, 2):
        assert looks(loop) == 1, "one look, whoever freed something"
        assert sum(client.ended for client in clients) == ticks * MAX_EVICTIONS
    assert (looks(loop), memory.full) == (0, False)


def test_who_holds_next_to_nothing_is_not_ended() -> None:
    memory, loop = in_ticks(10)
    idle = Client(memory, 0)
    idle.grow(HOLDER_BYTES - 1)
    memory.add(20 * HOLDER_BYTES)
    assert (looks(loop), idle.ended, looks(loop)) == (1, False, 0)
    idle.grow(1)
    assert (looks(loop), idle.ended) == (1, True)


class Giving(Client):
    """It halves what it holds, and stays."""

    def evict(self) -> None:
        self.grow(-self.size // 2)
        self.memory.register(self)


def test_who_frees_some_and_stays_is_asked_again_and_not_counted() -> None:
    memory, loop = in_ticks(100)
    told: list[int] = []
    memory.on_evicted = told.append
    giving = [Giving(memory, 100) for _ in range(3)]
    small = Client(memory, 10)
    while looks(loop):
        pass
    assert not memory.full
    assert (told, small.ended) == ([], False)
    assert [client.size for client in giving] == [25 * HOLDER_BYTES] * 3


def test_a_tick_asks_all_who_may_hold_no_less_than_those_who_freed_some_and_stay() -> None:
    memory, loop = in_ticks(240)
    giving = [Giving(memory, size) for size in (100, 100, 100, 50, 49)]
    assert looks(loop) == 1
    assert [client.size // HOLDER_BYTES for client in giving] == [50, 50, 50, 25, 49]


def test_where_all_are_ended_it_goes_on_with_those_who_hold_less_than_half() -> None:
    memory, loop = in_ticks(1079)
    clients = [Client(memory, size) for size in (100, *[49] * 20)]
    assert looks(loop) == 1
    assert sum(client.ended for client in clients) == 2
    assert memory.used_bytes == 931 * HOLDER_BYTES, "a tenth of it is free"


def test_a_tick_that_takes_long_ends_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RELIEVING_SECONDS", -1.0)
    memory, loop = in_ticks(100)
    clients = [Client(memory, 50) for _ in range(4)]
    assert (looks(loop), sum(client.ended for client in clients)) == (1, 1)
    assert (looks(loop), sum(client.ended for client in clients)) == (1, 2)


def test_it_ends_when_enough_is_free() -> None:
    memory, loop = in_ticks(100)
    clients = [Client(memory, 50) for _ in range(3)]
    assert looks(loop) == 1
    assert sum(client.ended for client in clients) == 2
    assert looks(loop) == 0


async def test_who_keeps_little_is_no_holder() -> None:
    memory = Memory(10 * HOLDER_BYTES, asyncio.get_running_loop())
    client = Client(memory, 0)
    memory.discard(client)
    for before, now, holds in (
        *((0, 1023, False), (1023, 1024, True), (1024, 2000, True)),
        *((2000, 1024, True), (1024, 1023, False)),
    ):
        memory.change(client, before, now)
        assert memory.used_bytes == now
        assert (client in memory._holders) is holds


async def test_who_was_ended_is_not_ended_again_for_keeping_more() -> None:
    memory = Memory(10 * HOLDER_BYTES, asyncio.get_running_loop())
    client = Client(memory, 0)
    memory.change(client, 0, HOLDER_BYTES)
    memory.discard(client)
    memory.change(client, HOLDER_BYTES, 2 * HOLDER_BYTES)
    assert client not in memory._holders

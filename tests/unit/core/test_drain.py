"""A stop: who is told what, in which order, and how long is waited."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from helpers.fanout import Loop
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.core.drain import CLIENTS_SHARE, FLUSH_SHARE, Drain
from wsgw.errors import DRAINING, UNCONFIRMED, GatewayError


class Client:
    """A connected client that is gone as soon as it is told to, or only when it is dropped."""

    def __init__(self, drain: Drain, told: list[str], name: str = "client", *, stubborn: bool = False) -> None:
        self._drain = drain
        self._told = told
        self._name = name
        self._stubborn = stubborn
        drain.add(self)

    def drain(self) -> None:
        self._told.append(f"{self._name}: drain")
        if not self._stubborn:
            self._drain.discard(self)

    def abort(self) -> None:
        self._told.append(f"{self._name}: abort")
        self._drain.discard(self)


class Endpoint:
    """A surface without connections."""

    def __init__(self, told: list[str]) -> None:
        self._told = told
        self.timeout_seconds = -1.0

    def close_all(self) -> None:
        self._told.append("surface: close all")

    async def wait_gone(self, timeout_seconds: float) -> bool:
        self._told.append("surface: wait")
        self.timeout_seconds = timeout_seconds
        return True


@pytest.fixture
def told() -> list[str]:
    return []


def lasting(seconds: float, told: list[str]) -> Drain:
    return Drain(seconds, lambda seconds: told.append(f"flush for {seconds:g}"), time.monotonic)


async def test_everybody_is_told(told: list[str]) -> None:
    drain = lasting(600, told)
    drain.register(Endpoint(told))
    for name in ("one", "two"):
        Client(drain, told, name)
    drain.check()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await drain.run()
    assert told[:2] == [f"flush for {FLUSH_SHARE * 600:g}", "surface: close all"]
    assert sorted(told[2:4]) == ["one: drain", "two: drain"]
    assert told[4:] == ["surface: wait"]


async def test_nobody_is_taken_any_more(told: list[str]) -> None:
    drain = lasting(600, told)
    assert not drain.begun
    drain.begin()
    assert drain.begun
    with pytest.raises(GatewayError) as caught:
        drain.check()
    assert caught.value.kind is DRAINING


async def test_a_client_that_stays_is_dropped(told: list[str], caplog: pytest.LogCaptureFixture) -> None:
    drain = lasting(0.1, told)
    Client(drain, told, "polite")
    Client(drain, told, "stubborn", stubborn=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await drain.run()
    assert sorted(told[1:3]) == ["polite: drain", "stubborn: drain"]
    assert told[3:] == ["stubborn: abort"]
    assert "1 clients did not finish" in caplog.text


async def test_it_waits_for_the_last_one_however_many_went_before(told: list[str]) -> None:
    drain = lasting(600, told)
    before = Client(drain, told)
    assert drain.discard(before)
    last = Client(drain, told, "last", stubborn=True)
    running = asyncio.get_running_loop().create_task(drain.run())
    await eventually(lambda: "last: drain" in told, "told")
    assert not running.done()
    drain.discard(last)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await running
    assert "last: abort" not in told


async def test_it_waits_for_all_of_them(told: list[str]) -> None:
    drain = lasting(600, told)
    clients = [Client(drain, told, name, stubborn=True) for name in ("one", "two")]
    running = asyncio.get_running_loop().create_task(drain.run())
    await eventually(lambda: len(told) == 3, "told")
    drain.discard(clients[0])
    for _ in range(3):
        await asyncio.sleep(0)
    assert not running.done()
    drain.discard(clients[1])
    async with asyncio.timeout(DEADLINE_SECONDS):
        await running


async def test_surfaces_get_what_is_left_of_the_clients_time(told: list[str]) -> None:
    drain, endpoint = lasting(600, told), Endpoint(told)
    drain.register(endpoint)
    await drain.run()
    assert 200 < endpoint.timeout_seconds <= CLIENTS_SHARE * 600


async def test_a_client_goes_once(told: list[str]) -> None:
    drain = lasting(600, told)
    client = Client(drain, told)
    assert drain.discard(client)
    assert not drain.discard(client)
    other = Client(drain, told)
    drain.discard(other)
    assert not drain.discard(other)


async def test_many_are_told_in_several_ticks(told: list[str], loop: Loop) -> None:
    """So that NATS, and who asks whether we live, get theirs in between."""
    drain = Drain(600, lambda seconds: None, loop.clock)

    class Slow(Client):
        def drain(self) -> None:
            loop.now += 0.001
            super().drain()

    several = [Slow(drain, told, stubborn=number < 2) for number in range(60)]
    running = asyncio.get_running_loop().create_task(drain.run())
    counts = []
    while len(told) < 58 and not running.done():
        counts.append(len(told))
        await asyncio.sleep(0)
        for client in several[:2]:  # these go by themselves
            drain.discard(client)
    steps = {after - before for before, after in pairwise(counts)}
    assert max(steps) <= 11
    assert len(counts) < 20, "not one by one"
    await running
    assert len(told) <= 60


async def test_its_seconds_run_once(told: list[str], loop: Loop) -> None:
    drain = Drain(600, lambda seconds: told.append("flush"), loop.clock)
    assert drain.seconds_left() == 0
    drain.begin()
    assert drain.seconds_left(0.5) == 300
    assert drain.seconds_left() == 600
    assert drain.seconds_left(0) == 0
    loop.now += 100
    assert (drain.seconds_left(0.5), drain.seconds_left()) == (200, 500)
    drain.begin()
    assert drain.seconds_left() == 500
    assert told == ["flush", "flush"]  # what came meanwhile
    loop.now += 1000
    assert drain.seconds_left() == 0


async def test_unless_over(told: list[str]) -> None:
    drain = lasting(600, told)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    loop.call_soon(answer.set_result, 5)
    assert await drain.unless_over(answer) == 5
    late: asyncio.Future[int] = loop.create_future()
    waiting = loop.create_task(drain.unless_over(late))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    late.set_result(7)
    assert await waiting == 7
    assert not drain._waiting, "nothing is kept of what was answered"
    fault: asyncio.Future[int] = loop.create_future()
    loop.call_soon(fault.set_exception, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await drain.unless_over(fault)
    never: asyncio.Future[int] = loop.create_future()
    loop.call_soon(drain.give_up)
    with pytest.raises(GatewayError) as caught:
        await drain.unless_over(never)
    assert caught.value.kind is UNCONFIRMED
    assert never.cancelled()
    drain.give_up()
    done: asyncio.Future[int] = loop.create_future()
    done.set_result(6)
    assert await drain.unless_over(done) == 6


async def test_to_give_up_twice_is_harmless(told: list[str]) -> None:
    drain = lasting(600, told)
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.get_running_loop().create_task(drain.unless_over(never))
    await asyncio.sleep(0)
    drain.give_up()
    drain.give_up()
    with pytest.raises(GatewayError):
        await waiting


async def test_what_is_waited_for_ends_with_the_clients_time(told: list[str]) -> None:
    drain = lasting(0.1, told)
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.get_running_loop().create_task(drain.unless_over(never))
    await drain.run()
    with pytest.raises(GatewayError) as caught:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await waiting
    assert caught.value.kind is UNCONFIRMED

"""A stop: who is told what, in which order, and how long is waited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from helpers.fanout import Loop
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.core import drain as module
from wsgw.core.drain import CLIENTS_SHARE, FLUSH_SHARE, LEAST_PER_TICK, PACE_SHARE, TICK_SECONDS, Drain, share
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

    def refuse_new(self) -> None:
        self._told.append("surface: refuse new")

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
    assert told[:2] == [f"flush for {FLUSH_SHARE * 600:g}", "surface: refuse new"]
    assert told[2:] == ["flush for 0.01", "one: drain", "two: drain", "surface: close all", "surface: wait"]


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
    assert told[2:] == ["polite: drain", "stubborn: drain", "stubborn: abort"]
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
    await eventually(lambda: len(told) == 4, "told")
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


async def test_surfaces_close_what_is_left_when_clients_are_gone(told: list[str]) -> None:
    drain = lasting(600, told)
    drain.register(Endpoint(told))
    client = Client(drain, told, "waiting", stubborn=True)
    running = asyncio.get_running_loop().create_task(drain.run())
    await eventually(lambda: "waiting: drain" in told, "told")
    await asyncio.sleep(0)
    assert "surface: close all" not in told
    drain.discard(client)
    await running
    assert told[-2:] == ["surface: close all", "surface: wait"]


async def test_a_client_goes_once(told: list[str]) -> None:
    drain = lasting(600, told)
    client = Client(drain, told)
    assert drain.discard(client)
    assert not drain.discard(client)
    other = Client(drain, told)
    drain.discard(other)
    assert not drain.discard(other)


async def test_many_are_told_in_several_ticks(told: list[str], loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that NATS, and who asks whether we live, get theirs in between."""
    drain = Drain(600, lambda seconds: None, loop.clock)
    monkeypatch.setattr(module, "LEAST_PER_TICK", 100)

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


class Paced:
    """A stop of 10 s with ``count`` clients, on a clock that only its sleeping moves on."""

    def __init__(self, loop: Loop, count: int) -> None:
        self.told: list[str] = []
        self.waves: list[int] = []  # how many had been told each time it slept
        self.slept: Callable[[], None] = lambda: None
        self.drain = Drain(10, lambda seconds: None, loop.clock, self._sleep)
        self.clients = [Client(self.drain, self.told, str(number)) for number in range(count)]
        self._loop = loop

    async def _sleep(self, seconds: float) -> None:
        assert seconds <= TICK_SECONDS + 1e-6
        self.waves.append(len(self.told))
        self._loop.now += seconds
        self.slept()


async def test_few_go_at_once(loop: Loop) -> None:
    paced = Paced(loop, LEAST_PER_TICK)
    await paced.drain.run()
    assert len(paced.told) == LEAST_PER_TICK
    assert paced.waves == []


async def test_some_take_as_long_as_they_are_many(loop: Loop) -> None:
    paced = Paced(loop, 4 * LEAST_PER_TICK)
    await paced.drain.run()
    assert paced.waves == [LEAST_PER_TICK, 2 * LEAST_PER_TICK, 3 * LEAST_PER_TICK]


async def test_many_go_evenly_in_their_share(loop: Loop) -> None:
    paced = Paced(loop, 10_000)
    began = loop.now
    await paced.drain.run()
    assert paced.told == [f"{number}: drain" for number in range(10_000)], "as they came"
    assert loop.now - began <= PACE_SHARE * 10
    assert len(paced.waves) in (98, 99)
    steps = {after - before for before, after in pairwise([0, *paced.waves, 10_000])}
    assert max(steps) <= 103
    assert min(steps) >= 1


async def test_who_goes_by_itself_is_not_told(loop: Loop) -> None:
    """And those that stay have its time."""
    paced = Paced(loop, 10_000)

    def half_goes() -> None:
        if len(paced.waves) == 1:
            for client in paced.clients[5000:]:
                assert paced.drain.discard(client)

    paced.slept = half_goes
    await paced.drain.run()
    assert len(paced.told) == 5000
    assert len(paced.waves) > 90
    assert paced.waves[3] - paced.waves[2] <= 52


async def test_a_late_loop_makes_up_for_it(loop: Loop) -> None:
    paced = Paced(loop, 10_000)

    def stands_still() -> None:
        if len(paced.waves) == 1:
            loop.now += PACE_SHARE * 10 - 10 * TICK_SECONDS

    paced.slept = stands_still
    await paced.drain.run()
    assert len(paced.told) == 10_000
    assert len(paced.waves) <= 12


async def test_who_comes_late_goes_by_itself(loop: Loop) -> None:
    """Of a handshake that was under way: its surface sees that there is a stop. It is waited for."""
    paced = Paced(loop, 1)
    late: list[Client] = []

    class Stubborn(Client):
        def drain(self) -> None:
            super().drain()
            late.append(Client(paced.drain, paced.told, "late", stubborn=True))

    Stubborn(paced.drain, paced.told, "last")
    running = asyncio.get_running_loop().create_task(paced.drain.run())
    await eventually(lambda: late, "it is there")
    for _ in range(3):
        await asyncio.sleep(0)
    assert not running.done()
    assert "late: drain" not in paced.told
    paced.drain.discard(late[0])
    await running


@pytest.mark.parametrize(
    ("clients", "seconds", "going"), [(1, 5, 25), (26, 5, 25), (10_000, 5, 100), (10_000, 0.05, 10_000), (80, 0, 80)]
)
def test_share(clients: int, seconds: float, going: int) -> None:
    assert share(clients, seconds) == going


async def test_it_is_announced_first(told: list[str], loop: Loop) -> None:
    drain = Drain(600, lambda seconds: told.append("flush"), loop.clock)
    drain.announce(3)
    assert (drain.announced, drain.begun) == (True, False)
    drain.check()
    assert told == []
    loop.now += 3
    assert drain.seconds_left() == 600
    drain.announce(100)
    drain.begin()
    assert drain.begun
    assert drain.seconds_left() == 600


async def test_to_begin_is_to_announce(told: list[str], loop: Loop) -> None:
    drain = Drain(600, lambda seconds: None, loop.clock)
    assert not drain.announced
    drain.begin()
    assert drain.announced


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

"""Many clients that behave: each has a name of its own, and sends there, now and then, what it gets back."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

from websockets.frames import Opcode

from helpers.flood_wire import FloodWire
from helpers.raw import frame
from helpers.waiting import DEADLINE_SECONDS, eventually
from hostile.healthy import PATIENCE_SECONDS, Times

#: How many connect at a time.
_AT_ONCE = 50


class Member:
    """One of them: a plain WebSocket."""

    def __init__(self, port: int, number: int, times: Times) -> None:
        self._port = port
        self._path = f"/ws/chat.c{number}"
        self._times = times
        self._wire: FloodWire
        self._sent_at: list[float] = []
        #: how many came back, in order
        self.came = 0
        self.fault = ""

    @property
    def sent(self) -> int:
        return len(self._sent_at)

    @property
    def lost(self) -> bool:
        return self._wire.closed.done()

    async def open(self) -> None:
        self._wire = await FloodWire.open(self._port, self._path, self._echoed)

    def send(self) -> None:
        self._sent_at.append(time.monotonic())
        self._wire.write(frame(Opcode.TEXT, b"%d" % (self.sent - 1)))

    async def drop(self) -> None:
        await self._wire.drop()

    def give_up(self) -> None:
        """What never came back took for ever."""
        self._times.trips += [(began, math.inf) for began in self._sent_at[self.came :]]

    def _echoed(self, payload: bytes) -> None:
        if int(payload) != self.came:
            self.fault = self.fault or f"{payload!r} came where {self.came} was due"
            return
        began = self._sent_at[self.came]
        self.came += 1
        self._times.trips.append((began, time.monotonic() - began))


class Crowd:
    """``count`` of them, each of which sends every ``interval_seconds``."""

    def __init__(self, port: int, count: int, interval_seconds: float) -> None:
        self.times = Times()
        self._members = [Member(port, number, self.times) for number in range(count)]
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Crowd:
        waiting = iter(self._members)

        async def some() -> None:
            for member in waiting:
                await member.open()

        async with asyncio.timeout(DEADLINE_SECONDS * 2):
            await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        self._task = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        await asyncio.gather(*(member.drop() for member in self._members))

    async def account(self) -> tuple[int, int, list[str]]:
        """Send nothing more: how many messages were sent, how many of them missed, and what else was wrong."""
        self._stop()
        with suppress(AssertionError):  # what missed is counted
            await eventually(self._settled, "all came back", PATIENCE_SECONDS)
        faults = [member.fault for member in self._members if member.fault]
        faults += ["a connection was lost" for member in self._members if member.lost]
        for member in self._members:
            member.give_up()
        sent, came = sum(member.sent for member in self._members), sum(member.came for member in self._members)
        return sent, sent - came, faults

    def _settled(self) -> bool:
        return all(member.lost or member.came == member.sent for member in self._members)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send(self) -> None:
        """Each in its turn, evenly; who is late does not catch up all at once."""
        loop = asyncio.get_running_loop()
        pause, due = self._interval_seconds / len(self._members), loop.time()
        while True:
            for member in self._members:
                due = max(due + pause, loop.time() - 0.1)
                member.send()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())

"""The stop of a gateway, as its clients see it: bounded in time, in an order that loses nothing that can be kept.

It is announced first: readiness is off, everything else goes on. When it begins no client is taken any more. Those
there are go a few at a time, so that they do not all come to another gateway at once; until its turn comes a client
gets, and sends, as ever.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, Protocol, TypeVar

from wsgw.errors import DRAINING, UNCONFIRMED, GatewayError

log = logging.getLogger("wsgw.gateway")

T = TypeVar("T")

#: The share of ``drain_seconds`` in which publications that wait are handed to clients before these are closed, that
#: in which the last of them is told to go, and that in which they are gone. The rest is for HTTP requests, and NATS' to
#: confirm what was published.
FLUSH_SHARE, PACE_SHARE, CLIENTS_SHARE = 0.25, 0.5, 0.7

#: Clients go by ticks, in each of them at least so many: 500 a second are no herd for any gateway that they come to.
TICK_SECONDS = 0.05
LEAST_PER_TICK = 25

#: Longest that clients are closed in one tick of the event loop.
SLICE_SECONDS = 0.01


class Drainable(Protocol):
    """A connected client, as a stop sees it."""

    def drain(self) -> None:
        """Send what waits, close with 1001 when all that came of it is settled; without waiting for the client."""

    def abort(self) -> None:
        """Drop the connection."""


class Surface(Protocol):
    """An endpoint whose connections are more than the clients that sessions know of."""

    def refuse_new(self) -> None:
        """Take no new clients, and close those that are not connected yet; wait for nobody."""

    def close_all(self) -> None:
        """Close all there are, when clients are gone; wait for nobody."""

    async def wait_gone(self, timeout_seconds: float) -> bool:
        """Wait until all have ended, but not longer; whether they have."""


def share(clients: int, seconds_left: float) -> int:
    """How many of so many ``clients`` go in this tick, where the last one is to be told within ``seconds_left``."""
    return max(LEAST_PER_TICK, math.ceil(clients / max(1, int(seconds_left / TICK_SECONDS))))


class Drain:
    """``flush(seconds)`` hands publications that wait to clients; ``clock()`` is in seconds, as ``sleep``'s."""

    def __init__(
        self,
        drain_seconds: float,
        flush: Callable[[float], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._drain_seconds = drain_seconds
        self._flush = flush
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0
        self._surfaces: list[Surface] = []
        self._clients: dict[Drainable, None] = {}  # as they came
        self._staying: dict[Drainable, None] = {}  # of them, in a stop, those that were not told yet
        self._clients_gone = asyncio.Event()
        self._given_up = False
        self._waiting: set[asyncio.Future[None]] = set()  # one each: a callback is taken off a shared one slowly
        #: there will be a stop
        self.announced = False
        #: no new clients are taken
        self.begun = False

    def register(self, surface: Surface) -> None:
        """``surface`` is asked to close its connections, and waited for."""
        self._surfaces.append(surface)

    def add(self, client: Drainable) -> None:
        """``client`` is connected."""
        self._clients[client] = None

    def discard(self, client: Drainable) -> bool:
        """It is not any more; whether it was."""
        if client not in self._clients:
            return False
        del self._clients[client]
        self._staying.pop(client, None)
        if not self._clients:
            self._clients_gone.set()
        return True

    def check(self) -> None:
        """Raises GatewayError (draining) when new clients are not taken any more."""
        if self.begun:
            raise GatewayError(DRAINING, "the gateway is stopping")

    def announce(self, delay_seconds: float = 0.0) -> None:
        """There will be a stop, after ``delay_seconds`` of going on as ever: then ``drain_seconds`` begin to run."""
        if not self.announced:
            self.announced = True
            self._until = self._clock() + delay_seconds + self._drain_seconds

    def begin(self) -> None:
        """Take no new clients, and hand the last publications to those there are."""
        self.announce()
        self.begun = True
        self._flush(FLUSH_SHARE * self._drain_seconds)

    def seconds_left(self, share: float = 1.0) -> float:
        """What is left of the first ``share`` (up to 1) of the ``drain_seconds``."""
        return max(0.0, self._until - (1 - share) * self._drain_seconds - self._clock())

    async def run(self) -> None:
        """Close every client with 1001, and drop those that are not gone in their share of the time."""
        self.begin()
        asyncio.get_running_loop().call_later(self.seconds_left(CLIENTS_SHARE), self.give_up)
        for surface in self._surfaces:
            surface.refuse_new()
        await self._send_away()
        if self._clients:
            self._clients_gone.clear()
            try:
                async with asyncio.timeout(self.seconds_left(CLIENTS_SHARE)):
                    await self._clients_gone.wait()
            except TimeoutError:
                count = len(self._clients)
                log.warning("%d clients did not finish in time: they answer no close, or are answered nothing", count)
                await self._each(list(self._clients), lambda client: client.abort())
        for surface in self._surfaces:  # not before: who waits for a reply still has a connection there
            surface.close_all()
        for surface in self._surfaces:
            await surface.wait_gone(self.seconds_left(CLIENTS_SHARE))

    async def _send_away(self) -> None:
        """Tell every client to go, some in each tick, those first that came first."""
        self._staying = dict(self._clients)
        due = self._clock()
        while self._staying:
            going = list(islice(self._staying, share(len(self._staying), self.seconds_left(PACE_SHARE))))
            self._flush(SLICE_SECONDS)
            await self._each(going, self._send)
            if self._staying:
                due = max(due + TICK_SECONDS, self._clock())  # what was missed is made up for by the share
                await self._sleep(due - self._clock())

    def _send(self, client: Drainable) -> None:
        self._staying.pop(client, None)
        client.drain()

    async def _each(self, clients: Iterable[Drainable], tell: Callable[[Drainable], None]) -> None:
        """``tell`` all ``clients``, some in each tick: NATS and health checks have theirs in between."""
        until = self._clock() + SLICE_SECONDS
        for client in clients:
            if client in self._clients:  # it may be gone meanwhile
                tell(client)
            if self._clock() >= until:
                await asyncio.sleep(0)
                until = self._clock() + SLICE_SECONDS

    def give_up(self) -> None:
        """End what ``unless_over`` waits for."""
        self._given_up = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def unless_over(self, answer: asyncio.Future[T]) -> T:
        """The result of ``answer``; raises GatewayError (unconfirmed) when the stop does not wait for it any more."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._given_up:
            over.set_result(None)
        self._waiting.add(over)
        try:
            either: set[asyncio.Future[Any]] = {answer, over}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(over)
        try:
            if answer.done():
                return answer.result()
            answer.cancel()
            raise GatewayError(UNCONFIRMED, "the gateway is stopping: unknown whether accepted")
        finally:  # an error has the frames that it went through, and these would have what has the error
            del answer, either

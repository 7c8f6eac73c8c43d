"""The stop of a gateway, as its clients see it: bounded in time, in an order that loses nothing that can be kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from wsgw.errors import DRAINING, UNCONFIRMED, GatewayError

log = logging.getLogger("wsgw.gateway")

T = TypeVar("T")

#: The share of ``drain_seconds`` in which publications that wait are handed to clients before these are closed, and
#: that in which clients go. The rest is for HTTP requests, and NATS' to confirm what was published.
FLUSH_SHARE, CLIENTS_SHARE = 0.25, 0.5

#: Longest that clients are closed in one tick.
SLICE_SECONDS = 0.01


class Drainable(Protocol):
    """A connected client, as a stop sees it."""

    def drain(self) -> None:
        """Send what waits and close with 1001, without waiting for the client."""

    def abort(self) -> None:
        """Drop the connection."""


class Surface(Protocol):
    """An endpoint whose connections are more than the clients that sessions know of."""

    def close_all(self) -> None:
        """Take no new ones, close those there are; wait for nobody."""

    async def wait_gone(self, timeout_seconds: float) -> bool:
        """Wait until all have ended, but not longer; whether they have."""


class Drain:
    """``flush(seconds)`` hands publications that wait to clients; ``clock()`` is in seconds."""

    def __init__(self, drain_seconds: float, flush: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._drain_seconds = drain_seconds
        self._flush = flush
        self._clock = clock
        self._until = 0.0
        self._surfaces: list[Surface] = []
        self._clients: set[Drainable] = set()
        self._clients_gone = asyncio.Event()
        self._given_up = False
        self._waiting: set[asyncio.Future[None]] = set()  # one each: a callback is taken off a shared one slowly
        #: no new clients are taken
        self.begun = False

    def register(self, surface: Surface) -> None:
        """``surface`` is asked to close its connections, and waited for."""
        self._surfaces.append(surface)

    def add(self, client: Drainable) -> None:
        """``client`` is connected."""
        self._clients.add(client)

    def discard(self, client: Drainable) -> bool:
        """It is not any more; whether it was."""
        if client not in self._clients:
            return False
        self._clients.discard(client)
        if not self._clients:
            self._clients_gone.set()
        return True

    def check(self) -> None:
        """Raises GatewayError (draining) when new clients are not taken any more."""
        if self.begun:
            raise GatewayError(DRAINING, "the gateway is stopping")

    def begin(self) -> None:
        """Take no new clients, and hand the last publications to those there are: ``drain_seconds`` begin to run."""
        if not self.begun:
            self.begun = True
            self._until = self._clock() + self._drain_seconds
        self._flush(FLUSH_SHARE * self._drain_seconds)

    def seconds_left(self, share: float = 1.0) -> float:
        """What is left of the first ``share`` (up to 1) of the ``drain_seconds`` that ``begin`` started."""
        return max(0.0, self._until - (1 - share) * self._drain_seconds - self._clock())

    async def run(self) -> None:
        """Close every client with 1001, and drop those that are not gone in their share of the time."""
        self.begin()
        asyncio.get_running_loop().call_later(self.seconds_left(CLIENTS_SHARE), self.give_up)
        for surface in self._surfaces:
            surface.close_all()
        await self._each(lambda client: client.drain())
        if self._clients:
            self._clients_gone.clear()
            try:
                async with asyncio.timeout(self.seconds_left(CLIENTS_SHARE)):
                    await self._clients_gone.wait()
            except TimeoutError:
                log.warning("%d clients did not finish the closing handshake in time", len(self._clients))
                await self._each(lambda client: client.abort())
        for surface in self._surfaces:
            await surface.wait_gone(self.seconds_left(CLIENTS_SHARE))

    async def _each(self, tell: Callable[[Drainable], None]) -> None:
        """``tell`` all clients, some in each tick: NATS and health checks have theirs in between."""
        until = self._clock() + SLICE_SECONDS
        for client in list(self._clients):
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

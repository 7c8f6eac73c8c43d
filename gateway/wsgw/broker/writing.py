"""The writing half of a connection to NATS: what is handed over in a tick goes out at its end, in one piece with a
fence behind it.
"""

from __future__ import annotations

import asyncio

from wsgw.broker.client import DirectClient, Events
from wsgw.broker.fences import Fences
from wsgw.errors import NATS_UNAVAILABLE, GatewayError


class Writing(Events):
    """``inbox`` is where fences come back; the subclass says which have. ``lost`` gets a sentence when it is over."""

    def __init__(self, client: DirectClient, inbox: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._inbox = inbox
        self._fences = Fences()
        self._lines: list[bytes] = []  # this tick's publishes and interest, as NATS' protocol has them
        self._ends: list[bytes] = []  # and its ends of interest, which go first: they make room
        self._large = False  # some of them are
        self._late_ends: list[bytes] = []  # the next tick's: of this tick's interest
        self._newer_than = 0  # subscriptions of higher numbers are this tick's
        self._scheduled = False
        self._corked = False
        self.lost: asyncio.Future[str] = self._loop.create_future()

    def barrier(self) -> asyncio.Future[None]:
        """Done when NATS has processed everything sent so far; fails with GatewayError when the connection is lost."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(unavailable())
            return future

        def outcome(error: GatewayError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._fences.add("", 0, 0, outcome)
        self._schedule()
        return future

    def cork(self) -> None:
        """Write nothing until ``uncork``: what is handed over meanwhile goes out then, as if in one tick.

        What was before goes out now.
        """
        if self._scheduled:
            self._write()
        self._corked = True

    def uncork(self) -> None:
        """Undo ``cork``; harmless without it."""
        if self._corked:
            self._corked = False
            self._schedule()

    # -- for the subclass

    def _end_before(self, lines: bytes) -> None:
        self._ends.append(lines)
        self._schedule()

    def _end_later(self, lines: bytes) -> None:
        self._late_ends.append(lines)  # that interest has this tick scheduled

    def _add(self, lines: bytes) -> None:
        self._lines.append(lines)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Write the tick's lines, and one fence behind them."""
        self._scheduled = False
        if self._corked:
            return
        lines, self._lines = self._lines, []
        if self._ends:
            lines[:0] = self._ends
        self._ends, self._late_ends = self._late_ends, []
        self._newer_than = self._client.last_number
        if not self.lost.done():
            lines.append(b"PUB %b.%d 0\r\n\r\n" % (self._inbox.encode(), self._fences.seal(self._loop.time())))
            if self._large:
                self._large = False
                self._client.write_all(lines)
            else:
                self._client.write(b"".join(lines))
            if self._ends:
                self._schedule()

    def _drop_lines(self) -> None:
        """The connection is over: what is not written will not be."""
        self._lines.clear()
        self._ends.clear()
        self._late_ends.clear()


def unavailable() -> GatewayError:
    """The error of everything that needs NATS while there is no connection."""
    return GatewayError(NATS_UNAVAILABLE, "the gateway has no connection to NATS")

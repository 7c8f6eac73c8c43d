"""Back-pressure on a client: nothing is read from it while too much of what it, or everybody, sent waits for NATS.

Nor while it is asked whether it may send what it sent, or while it is beyond its rates.
"""

from __future__ import annotations

from collections.abc import Callable

from wsgw.broker.broker import Broker

#: Messages of one client that may wait for NATS; above it nothing is read from the client, until half of them.
MAX_UNSETTLED_MESSAGES = 16_384
MAX_UNSETTLED_BYTES = 8 * 1024 * 1024

#: Why a client is held; there may be several reasons at a time.
_FULL = 1  # too much of its own waits
_CONGESTED = 2  # too much of everybody's does
_UNDECIDED = 4  # it is not known whether it may send what it sent
_FAST = 8  # it is beyond its rates


class BackPressure:
    """Counts one client's messages, and calls ``hold`` and ``release`` by turns; ``close`` it when the client is gone.

    To be made when the client first publishes: most never do. Implements ``broker.Publishing``.
    """

    __slots__ = ("_broker", "_bytes", "_hold", "_reasons", "_release", "messages")

    def __init__(self, broker: Broker, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self._broker = broker
        self._hold = hold
        self._release = release
        self._bytes = 0
        self._reasons = 0
        #: whose outcome is not known yet
        self.messages = 0
        broker.add(self)  # which may hold the client at once

    def sent(self, count: int, size: int) -> None:
        """``count`` messages of ``size`` bytes together are about to be published."""
        self.messages += count
        self._bytes += size

    def settled(self, count: int, size: int) -> None:
        """Their outcome is known."""
        self.messages -= count
        self._bytes -= size
        if self._reasons & _FULL and (
            self.messages <= MAX_UNSETTLED_MESSAGES // 2 and self._bytes <= MAX_UNSETTLED_BYTES // 2
        ):
            self._remove(_FULL)

    def check(self) -> None:
        """To be called after a publish: hold the client if that was too much."""
        if self.messages > MAX_UNSETTLED_MESSAGES or self._bytes > MAX_UNSETTLED_BYTES:
            self._add(_FULL)

    def wait(self) -> None:
        """Hold the client until ``go_on``: it is asked whether it may send what it sent."""
        self._add(_UNDECIDED)

    def go_on(self) -> None:
        """Undo ``wait``; harmless without it."""
        self._remove(_UNDECIDED)

    def slow(self) -> None:
        """Hold the client until ``in_time``: it is beyond its rates."""
        self._add(_FAST)

    def in_time(self) -> None:
        """Undo ``slow``; harmless without it."""
        self._remove(_FAST)

    def close(self) -> None:
        """The client is gone, and is told nothing more."""
        self._broker.discard(self)
        self._hold = self._release = _nobody

    # -- Publishing

    def congested(self) -> None:
        self._add(_CONGESTED)

    def cleared(self) -> None:
        self._remove(_CONGESTED)

    # -- inside

    def _add(self, reason: int) -> None:
        before, self._reasons = self._reasons, self._reasons | reason
        if not before:
            self._hold()

    def _remove(self, reason: int) -> None:
        before, self._reasons = self._reasons, self._reasons & ~reason
        if before and not self._reasons:
            self._release()


def _nobody() -> None:
    """Is not to be held any more."""

"""Back-pressure on a client: nothing is read from it while too much of what it, or everybody, sent waits for NATS."""

from __future__ import annotations

from collections.abc import Callable

from wsgw.broker.broker import Broker

#: Messages of one client that may wait for NATS; above it nothing is read from the client, until half of them.
MAX_UNSETTLED_MESSAGES = 16_384
MAX_UNSETTLED_BYTES = 8 * 1024 * 1024


class BackPressure:
    """Counts one client's messages, and calls ``hold`` and ``release`` by turns; ``close`` it when the client is gone.

    To be made when the client first publishes: most never do. Implements ``broker.Publishing``.
    """

    __slots__ = ("_broker", "_bytes", "_congested", "_full", "_hold", "_release", "_undecided", "messages")

    def __init__(self, broker: Broker, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self._broker = broker
        self._hold = hold
        self._release = release
        self._bytes = 0
        self._full = False  # too much of its own waits
        self._congested = False  # too much of everybody's does
        self._undecided = False  # it is not known whether it may send what it sent
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
        few = self.messages <= MAX_UNSETTLED_MESSAGES // 2 and self._bytes <= MAX_UNSETTLED_BYTES // 2
        if self._full and few:
            self._full = False
            if not (self._congested or self._undecided):
                self._release()

    def check(self) -> None:
        """To be called after a publish: hold the client if that was too much."""
        if not self._full and (self.messages > MAX_UNSETTLED_MESSAGES or self._bytes > MAX_UNSETTLED_BYTES):
            self._full = True
            if not (self._congested or self._undecided):
                self._hold()

    def wait(self) -> None:
        """Hold the client until ``go_on``: it is asked whether it may send what it sent."""
        if not self._undecided:
            self._undecided = True
            if not (self._full or self._congested):
                self._hold()

    def go_on(self) -> None:
        """Undo ``wait``; harmless without it."""
        if self._undecided:
            self._undecided = False
            if not (self._full or self._congested):
                self._release()

    def close(self) -> None:
        """The client is gone, and is told nothing more."""
        self._broker.discard(self)
        self._hold = self._release = _nobody

    # -- Publishing

    def congested(self) -> None:
        self._congested = True
        if not (self._full or self._undecided):
            self._hold()

    def cleared(self) -> None:
        self._congested = False
        if not (self._full or self._undecided):
            self._release()


def _nobody() -> None:
    """Is not to be held any more."""

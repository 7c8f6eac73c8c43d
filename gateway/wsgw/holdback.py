"""Back-pressure on a client: nothing is read from it while too much of what it sent waits for NATS."""

from __future__ import annotations

from collections.abc import Callable

from wsgw.broker.broker import Broker

#: Messages of one client that may wait for NATS; above it nothing is read from the client, until half of them.
MAX_UNSETTLED_MESSAGES = 16_384
MAX_UNSETTLED_BYTES = 8 * 1024 * 1024


class HoldBack:
    """Counts one client's messages, and calls ``hold`` and ``release`` by turns; also while the broker is congested."""

    __slots__ = ("_broker", "_bytes", "_held", "_hold", "_release", "_waits", "messages")

    def __init__(self, broker: Broker, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self._broker = broker
        self._hold = hold
        self._release = release
        self._bytes = 0
        self._held = False
        self._waits = False  # for the broker to be clear
        #: whose outcome is not known yet
        self.messages = 0

    def sent(self, count: int, size: int) -> None:
        """``count`` messages of ``size`` bytes together are about to be published."""
        self.messages += count
        self._bytes += size

    def settled(self, count: int, size: int) -> None:
        """Their outcome is known."""
        self.messages -= count
        self._bytes -= size
        self._let_go()

    def check(self) -> None:
        """To be called after a publish: hold the client if that was too much."""
        if self._held:
            return
        own = self.messages > MAX_UNSETTLED_MESSAGES or self._bytes > MAX_UNSETTLED_BYTES
        if own or self._broker.congested:
            self._held = True
            self._hold()
            self._let_go()

    def _let_go(self) -> None:
        few = self.messages <= MAX_UNSETTLED_MESSAGES // 2 and self._bytes <= MAX_UNSETTLED_BYTES // 2
        if not self._held or not few or self._waits:
            return
        if self._broker.congested:
            self._waits = True
            self._broker.when_clear(self._clear)
        else:
            self._held = False
            self._release()

    def _clear(self) -> None:
        self._waits = False
        self._let_go()

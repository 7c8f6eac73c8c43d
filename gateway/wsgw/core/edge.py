"""What all connections of a process share below their sessions: bounds, turns, memory, and how refusals are told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from copy import copy

from wsgw.access.meter import SessionRates
from wsgw.access.pages import Pages
from wsgw.access.proxies import Proxies
from wsgw.access.seats import Seat, Seats
from wsgw.config.limits import LimitsSettings
from wsgw.errors import LimitError
from wsgw.metrics import Metrics
from wsgw.shares.files import Files
from wsgw.shares.line import Line
from wsgw.shares.memory import Memory
from wsgw.shares.parting import Parting
from wsgw.shares.repeats import Repeats
from wsgw.shares.slices import Slices

log = logging.getLogger("wsgw.edge")

#: Refusals for one reason get one line in the log in this time, which counts those since the last one.
LOG_PERIOD_SECONDS = 60.0
#: What a handshake of TLS costs, about.
HANDSHAKE_SECONDS = 0.002


class Edge:
    """Needs a running loop. ``limits`` are the settings of that name; ``pages`` those of the gateway's own, if None.

    Whether there are ``proxies`` is not known, if None. Without ``has_users`` nobody can prove to be one.
    """

    def __init__(
        self,
        limits: LimitsSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        pages: Pages | None = None,
        proxies: Proxies | None = None,
        *,
        has_users: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.limits = limits
        self.pages = Pages() if pages is None else pages
        self.proxies = Proxies() if proxies is None else proxies
        self.slices = Slices(loop)
        self.handshakes = Line(self.slices, HANDSHAKE_SECONDS)
        self.memory = Memory(int(limits.memory), loop)
        self.memory.on_evicted = self._evicted
        self.files = Files(limits.files_reserve)
        self.parting = Parting()
        self.seats = Seats(limits, metrics, clock, has_users=has_users)
        self.rates = SessionRates(limits)
        self.proxies.counting = self.seats.addresses is not None
        self._metrics = metrics
        self._repeats = Repeats(log, LOG_PERIOD_SECONDS, clock)
        metrics.memory_bytes.set_function(lambda: self.memory.used_bytes)
        metrics.memory_limit_bytes.set(self.memory.limit_bytes)
        metrics.open_files.set_function(lambda: self.files.open)
        metrics.open_files_limit.set(self.files.limit)
        metrics.deferred_connections.set_function(lambda: len(self.slices) + len(self.handshakes))

    def aside(self, pages: Pages, files: Files) -> Edge:
        """The same for a listener of its own, with bounds of its own for who asks there, and how many; by no proxy."""
        other = copy(self)
        other.proxies = Proxies()
        other.pages, other.files = pages, files
        return other

    def refused(self, reason: str, detail: str = "", *args: object) -> None:
        """Count a connection or request that was refused; one with a ``detail`` is logged once per reason and period.

        ``reason`` is a row of the table of errors, by name, or one of Engine.IO's; ``detail`` is formatted with
        ``args`` only where it is logged. What clients sent must be in ``args``, never in ``detail``.
        """
        self._metrics.rejected.labels(reason).inc()
        if detail:
            self._repeats.say(logging.WARNING, f"refused: {reason}", f": {detail}", *args)

    def arrive(self, network: str | None, *, stays: bool = True) -> Seat | None:
        """See ``Seats.arrive``; raises LimitError, which is counted as refused."""
        try:
            return self.seats.arrive(network, stays=stays)
        except LimitError as error:
            self.over_limit(error, network)
            raise

    def over_limit(self, error: LimitError, whose: object) -> None:
        """Count a connection or request of ``whose`` that was refused, for it was over a limit."""
        self.refused(error.kind.name, "%s: %s", whose, error.message)

    def closed(self, error: LimitError, whose: object) -> None:
        """Log, once in a period, that the connection of ``whose`` is closed for it was over a limit on end."""
        self._repeats.say(logging.WARNING, f"closed: {error.kind.name}", ": %s: %s", whose, error.message)

    # -- inside

    def _evicted(self, count: int) -> None:
        detail = f": more than {self.memory.limit_bytes} bytes wait"
        many = f" ({count} at once)" if count > 1 else ""
        self._repeats.say(logging.WARNING, "clients ended for whom most was kept", detail + many, count=count)

"""How fast one client sends: it is refused, or held back, while it is beyond its rates, and closed where it goes on.

A surface that answers each message refuses those that are too many. One that does not takes what came, and nothing is
read from its client until that is made up for.
"""

from __future__ import annotations

import asyncio

from wsgw.access.meter import Meter
from wsgw.access.principal import Principal
from wsgw.core.backpressure import BackPressure
from wsgw.core.edge import Edge
from wsgw.core.sessionclient import SessionClient
from wsgw.errors import RATE_LIMITED, LimitError


class Pace:
    """Of one client; ``close`` it. ``client`` is told when it is to be closed, once."""

    __slots__ = ("_client", "_closed", "_edge", "_meter", "_pressure", "_principal", "_timer")

    def __init__(self, meter: Meter, edge: Edge, principal: Principal, client: SessionClient | None) -> None:
        self._meter = meter
        self._edge = edge
        self._principal = principal
        self._client = client
        self._pressure: BackPressure | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def burst(self) -> int:
        """How many messages are within its rates at once, at most."""
        return self._meter.burst

    def refuse(self, count: int, size: int) -> LimitError | None:
        """Why ``count`` messages of ``size`` bytes together may not be sent; None where they may, and are."""
        error = self._meter.refuse(count, size)
        if error is not None:
            self._check()
        return error

    def wait(self) -> float:
        """For how many seconds it may send nothing: its user, or address, may be beyond its rates by others."""
        return self._meter.wait()

    def hold(self, wait_seconds: float, pressure: BackPressure) -> None:
        """Hold the client by ``pressure`` for so long, and until it may send."""
        self._pressure = pressure
        pressure.slow()
        self._set(wait_seconds)

    def sent(self, count: int, size: int, pressure: BackPressure) -> None:
        """They came, and are sent: hold the client by ``pressure`` where that was too much."""
        wait = self._meter.charge(count, size)
        if wait:
            self.hold(wait, pressure)
            self._check()

    def close(self) -> None:
        """The client is gone."""
        self._closed = True
        self._client = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside

    def _set(self, wait_seconds: float) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._waited)

    def _waited(self) -> None:
        """It may send again, unless others took what there was meanwhile."""
        self._timer = None
        wait = self._meter.wait()
        if wait:
            self._set(wait)
        elif self._pressure is not None:
            self._pressure.in_time()

    def _check(self) -> None:
        if self._meter.goes_on and self._client is not None:
            client, self._client = self._client, None
            error = LimitError(RATE_LIMITED, RATE_LIMITED.summary, 0.0)
            self._edge.closed(error, self._principal)
            client.limited(error)

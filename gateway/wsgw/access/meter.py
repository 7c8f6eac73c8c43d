"""What one connection sends, measured by its own rates, and by those of its user or address."""

from __future__ import annotations

from wsgw.access.principal import Principal, Spent
from wsgw.access.seats import Seats
from wsgw.config.limits import LimitsSettings
from wsgw.errors import LimitError
from wsgw.shares.bucket import Bucket, Rate

#: Who was within its rates for so long was not over them on end.
CALM_SECONDS = 5.0
#: Messages at once, where there is no limit.
MANY = 1_000_000


class SessionRates:
    """Those of each connection by itself."""

    __slots__ = ("bytes", "messages", "timeout_seconds")

    def __init__(self, limits: LimitsSettings) -> None:
        messages, size = limits.messages_per_second, limits.bytes_per_second
        self.messages = None if messages is None else Rate(messages, limits.burst)
        self.bytes = None if size is None else Rate(float(size), limits.burst)
        self.timeout_seconds = limits.rate_timeout

    def spent(self) -> Spent:
        """Of a connection that has sent nothing yet."""
        return Spent(
            None if self.messages is None else Bucket(self.messages),
            None if self.bytes is None else Bucket(self.bytes),
        )


class Meter:
    """Of one session; ``sized`` and ``counted`` are buckets of bytes and of messages, each by whose it is.

    ``spent`` is of its connection.
    """

    __slots__ = ("_counted", "_seats", "_sized", "_spent", "_timeout_seconds", "goes_on")

    def __init__(
        self,
        seats: Seats,
        spent: Spent,
        counted: tuple[tuple[str, Bucket], ...],
        sized: tuple[tuple[str, Bucket], ...],
        timeout_seconds: float,
    ) -> None:
        self._seats = seats
        self._spent = spent
        self._counted = counted
        self._sized = sized
        self._timeout_seconds = timeout_seconds
        #: whether the connection was beyond its rates for so long on end that it is to be closed
        self.goes_on = False

    @property
    def burst(self) -> int:
        """How many messages it may send at once, at most; one at least."""
        return int(min([bucket.rate.burst for _, bucket in self._counted], default=MANY))

    def refuse(self, count: int, size: int) -> LimitError | None:
        """Why ``count`` messages of ``size`` bytes together may not be sent now; None where they may, and are."""
        now = self._seats.clock()
        for scope, bucket in self._counted:
            if not bucket.has(count, now):
                return self._over(scope, "messages", bucket.wait(now, count), now, now)
        for scope, bucket in self._sized:
            if not bucket.has(size, now):
                return self._over(scope, "bytes", bucket.wait(now, size), now, now)
        for _, bucket in self._counted:
            bucket.charge(count, now)
        for _, bucket in self._sized:
            bucket.charge(size, now)
        return None

    def charge(self, count: int, size: int) -> float:
        """They have been sent: for how many seconds no more should be, 0.0 where some may."""
        now = self._seats.clock()
        longest, whose, limit = 0.0, "", ""
        for scope, bucket in self._counted:
            wait = bucket.charge(count, now)
            if wait > longest:
                longest, whose, limit = wait, scope, "messages"
        for scope, bucket in self._sized:
            wait = bucket.charge(size, now)
            if wait > longest:
                longest, whose, limit = wait, scope, "bytes"
        if longest:
            self._over(whose, limit, longest, now, now + longest)
        return longest

    def wait(self) -> float:
        """Seconds until it may send again; others may have sent by the same rates meanwhile."""
        now = self._seats.clock()
        return max([bucket.wait(now) for _, bucket in (*self._counted, *self._sized)])

    # -- inside

    def _over(self, scope: str, limit: str, wait_seconds: float, now: float, until: float) -> LimitError:
        spent = self._spent
        if now - spent.over_until >= CALM_SECONDS:
            spent.over_since = now
        spent.over_until = max(spent.over_until, until)
        self.goes_on = now - spent.over_since >= self._timeout_seconds
        return self._seats.too_fast(scope, limit, wait_seconds)


def meter_of(seats: Seats, rates: SessionRates, principal: Principal, *, stays: bool) -> Meter | None:
    """That of a client which ``stays``, or has a single message; None where nothing limits what it sends."""
    spent = principal.spent or (rates.spent() if stays else Spent())
    counted, sized = [], []
    if spent.messages is not None:
        counted.append(("session", spent.messages))
    if spent.bytes is not None:
        sized.append(("session", spent.bytes))
    seat = principal.seat
    entry = None if seat is None else seat.entry
    if seat is not None and entry is not None:
        if entry.messages is not None and stays:  # else it paid when it came
            counted.append((seat.scope, entry.messages))
        if entry.bytes is not None:
            sized.append((seat.scope, entry.bytes))
    if not counted and not sized:
        return None
    principal.spent = spent
    return Meter(seats, spent, tuple(counted), tuple(sized), rates.timeout_seconds)

"""Token buckets: how much of something may come in a second, and how much at once."""

from __future__ import annotations

#: Of one: what sums of seconds may be off.
ROUNDING = 1e-6


class Rate:
    """``per_second`` of something, and what of it could have come in ``burst_seconds`` at once, one at least."""

    __slots__ = ("burst", "interval_seconds", "tolerance_seconds")

    def __init__(self, per_second: float, burst_seconds: float) -> None:
        self.burst = max(1.0, per_second * burst_seconds)
        self.interval_seconds = 1.0 / per_second
        self.tolerance_seconds = (self.burst + ROUNDING) * self.interval_seconds


class Bucket:
    """What one client took of a ``Rate``; full at first.

    It is the generic cell rate algorithm (ITU-T I.371): of the past it keeps one number, the time at which the bucket
    would be full again. ``now`` is a clock that does not go back, in seconds.

    What it lets through by ``take`` in t seconds is at most ``per_second * t`` and the burst; or, of what is larger
    than the burst, one, for which all of the bucket has to be there.
    """

    __slots__ = ("_full_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._full_at = 0.0

    def has(self, count: float, now: float) -> bool:
        """Whether ``take`` would."""
        rate, full_at = self.rate, self._full_at
        if full_at <= now:
            return True
        return full_at + count * rate.interval_seconds - now <= rate.tolerance_seconds

    def take(self, count: float, now: float) -> bool:
        """Whether ``count`` may be taken; then it is."""
        if not self.has(count, now):
            return False
        self.charge(count, now)
        return True

    def charge(self, count: float, now: float) -> float:
        """Take ``count`` that has come already, whether it is there or not; seconds until that is made up for."""
        rate, full_at = self.rate, self._full_at
        self._full_at = full_at = (full_at if full_at > now else now) + count * rate.interval_seconds
        over = full_at - now - rate.tolerance_seconds
        return over if over > 0 else 0.0

    def give_back(self, count: float) -> None:
        """Undo a ``take``."""
        self._full_at -= count * self.rate.interval_seconds

    def wait(self, now: float, count: float = 0.0) -> float:
        """Seconds until ``count`` is there, 0.0 where it is: until the bucket is full for what is larger than it."""
        rate = self.rate
        need = min(count * rate.interval_seconds, rate.tolerance_seconds)
        return max(0.0, self._full_at + need - now - rate.tolerance_seconds)

    def is_full(self, now: float) -> bool:
        """Whether there is nothing to remember."""
        return self._full_at <= now

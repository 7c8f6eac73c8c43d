"""When sessions end with what their clients proved to be: one timer for all, by the second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from wsgw.errors import TOKEN_EXPIRED, GatewayError
from wsgw.shares.slices import Slices, one_by_one

log = logging.getLogger("wsgw.session")

#: Longest that the timer sleeps: clocks are set, and the loop's own knows nothing of that.
MAX_SLEEP_SECONDS = 30.0
#: What is later than any clock will be.
FAR_SECONDS = 2.0**40


class Expiring(Protocol):
    """A session."""

    def expire(self) -> None:
        """It is time."""


class Expiries:
    """``clock()`` is Unix time, as tokens have it. Those of one second are told in turn with others' work."""

    def __init__(self, slices: Slices, clock: Callable[[], float] = time.time) -> None:
        self._slices = slices
        self._clock = clock
        self._due: dict[int, set[Expiring]] = {}  # by the second in which they are told
        self._seconds: dict[Expiring, int] = {}
        self._telling: set[Expiring] = set()  # their turn comes
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # of the clock

    def __len__(self) -> int:
        return len(self._seconds)

    def over(self, at: float | None) -> bool:
        """Whether a session would end at once."""
        return at is not None and at <= self._clock()

    def check(self, at: float | None) -> None:
        """Raises GatewayError (token_expired) where a session would end at once."""
        if self.over(at):
            raise GatewayError(TOKEN_EXPIRED, TOKEN_EXPIRED.summary)

    def set(self, session: Expiring, at: float | None) -> None:
        """Tell ``session`` at ``at``, or within a second behind it; at no other time, or at none (None)."""
        self.discard(session)
        if at is None:
            return
        second = int(min(at, FAR_SECONDS)) + 1
        self._seconds[session] = second
        self._due.setdefault(second, set()).add(session)
        if self._timer is None or second < self._timer_at:
            self._wait(second)

    def discard(self, session: Expiring) -> None:
        """Tell it nothing; harmless where it is not known."""
        self._telling.discard(session)
        second = self._seconds.pop(session, None)
        if second is None:
            return
        sessions = self._due[second]
        sessions.discard(session)
        if not sessions:
            del self._due[second]
            if not self._due and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    # -- inside

    def _wait(self, second: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock()
        self._timer_at = min(second, now + MAX_SLEEP_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._timer_at - now), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        over = [second for second in self._due if second <= now]
        sessions = [session for second in over for session in self._due.pop(second)]
        for session in sessions:
            del self._seconds[session]
        self._telling.update(sessions)
        if self._due:
            self._wait(min(self._due))
        self._slices.queue(one_by_one(sessions, self._tell))

    def _tell(self, session: Expiring) -> None:
        if session not in self._telling:  # it has ended since, or has a later time, or none
            return
        self._telling.discard(session)
        try:
            session.expire()
        except Exception:  # one session's fault is not another's, which would live on
            log.exception("ending a session failed")

"""Lines for the log that a peer can cause as often as it likes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

#: A line comes once in this time, unless told.
PERIOD_SECONDS = 30.0
#: Different lines in that time: a peer may put into each what it likes.
MAX_LINES = 32


class Repeats:
    """Writes a line to ``log`` once in ``period_seconds``, with how many were left out since."""

    def __init__(
        self,
        log: logging.Logger,
        period_seconds: float = PERIOD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._period_seconds = period_seconds
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # by line: when, and how often since
        self._others = 0  # left out that are not in it

    def say(
        self, level: int, line: str, detail: str = "", *args: object, error: BaseException | None = None, count: int = 1
    ) -> bool:
        """Whether it was written, which stands for ``count`` of it.

        ``detail``, formatted with ``args`` where there are any, and the trace of ``error`` belong to this one, not to
        what is repeated.
        """
        now = self._clock()
        said = self._said.get(line)
        if said is not None and now - said[0] < self._period_seconds:
            self._said[line] = said[0], said[1] + count
            return False
        if said is None and len(self._said) >= MAX_LINES:
            self._forget(now)
            if len(self._said) >= MAX_LINES:
                self._others += count
                return False
        notes = [f"{said[1]} more since the last such line"] if said and said[1] else []
        if self._others:
            notes.append(f"{self._others} others were left out")
            self._others = 0
        self._said[line] = now, 0
        detail = detail % args if args else detail
        self._log.log(level, "%s%s%s", line, detail, f" ({'; '.join(notes)})" if notes else "", exc_info=error)
        return True

    def _forget(self, now: float) -> None:
        """Drop the lines whose time is over."""
        for line, (at, left_out) in list(self._said.items()):
            if now - at >= self._period_seconds:
                del self._said[line]
                self._others += left_out

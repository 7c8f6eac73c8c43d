"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Seconds to wait: ``first_seconds``, doubled each time up to ``most_seconds``, less up to a half by chance.

    By chance, so that many who lost the same thing do not come back for it at once.
    """

    __slots__ = ("_first_seconds", "_most_seconds", "_seconds")

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first_seconds = self._seconds = first_seconds
        self._most_seconds = most_seconds

    def next(self) -> float:
        """What to wait now."""
        seconds = self._seconds
        self._seconds = min(2 * seconds, self._most_seconds)
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311  no secret

    def reset(self) -> None:
        """It went well: the next wait is a first one."""
        self._seconds = self._first_seconds

"""Tells a flood: far more of what says nothing (control frames, empty fragments, empty packets) than a client needs."""

from __future__ import annotations

#: More than this in a second, for so many seconds on end, is a flood; fewer are welcome for ever.
MOST_PER_SECOND = 100
FLOOD_SECONDS = 5

_WINDOW_SECONDS = 1.0


class Flood:
    """Of one connection; to be made when the first such thing comes, at ``now`` (seconds of any clock).

    Rates are taken over windows of a second, or as much longer as nothing came. So what piled up while a client was
    not read is one window, however much it is.
    """

    __slots__ = ("_count", "_since", "_windows")

    def __init__(self, now: float) -> None:
        self._since = now
        self._count = 0
        self._windows = 0  # on end, above the rate

    def add(self, count: int, now: float) -> bool:
        """``count`` more came at ``now``; whether that makes a flood."""
        self._count += count
        elapsed = now - self._since
        if elapsed >= _WINDOW_SECONDS:
            self._windows = self._windows + 1 if self._count > MOST_PER_SECOND * elapsed else 0
            self._since = now
            self._count = 0
        return self._windows >= FLOOD_SECONDS

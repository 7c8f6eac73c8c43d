"""What was found out and is good for a time: so much of it, and no more."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by key. Above ``most`` of them, or ``most_bytes``, those that came first are forgotten."""

    def __init__(self, most: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        # with the end of its time, and its bytes; the first one of a plain dict lies behind all that were before it
        self._values: OrderedDict[K, tuple[V, float, int]] = OrderedDict()
        #: what all take in memory
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of ``key``; None where there is none, or none any more."""
        found = self._values.get(key)
        if found is None:
            return None
        value, until, _ = found
        if self._clock() < until:
            return value
        self._forget(key)
        return None

    def put(self, key: K, value: V, seconds: float, size_bytes: int) -> None:
        """Keep ``value``, which takes so many bytes with its key, for so long, in the place of another one."""
        self._forget(key)
        if seconds <= 0 or size_bytes > self._most_bytes:
            return
        self._values[key] = value, self._clock() + seconds, size_bytes
        self.size_bytes += size_bytes
        while len(self._values) > self._most or self.size_bytes > self._most_bytes:
            self._forget(next(iter(self._values)))

    # -- inside

    def _forget(self, key: K) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self.size_bytes -= found[2]

"""How many files the process may have open, and what connections of clients may take of them.

The last ones are kept free: for NATS, files, and for those who ask how the gateway is. So that these are heard, where
even of the last ones few are left, the connections go first that have been waited for longest.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sized
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

#: Of the reserve: what connections that come in it may take, which are answered and closed at once.
SHORT_SHARE = 0.75


class Standing(Enum):
    """How a new connection stands."""

    FREE = auto()
    #: it may ask how the gateway is, and nothing else
    SHORT = auto()
    #: it is to be closed at once
    NONE = auto()


class Idle(Protocol):
    """A connection on which nothing is done but to wait for the client."""

    def abort(self) -> None:
        """Drop it."""


class Files:
    """``limit`` is by default what the process may have open now, and ``others`` what is open already."""

    __slots__ = ("_others", "connections", "idle", "limit", "reserve")

    def __init__(self, reserve: int, limit: int | None = None, others: int | None = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
        self.limit = 2**31 if soft == resource.RLIM_INFINITY else soft
        self.reserve = min(reserve, self.limit // 2)
        #: those of clients
        self.connections: Sized = ()
        #: those of them that are to ask, take an answer or end, the longest waited for first
        self.idle: dict[Idle, None] = {}
        self._others = _open_now() if others is None else others

    @property
    def open(self) -> int:
        """Open files: connections, and what was open before there were any."""
        return self._others + len(self.connections)

    def set_aside(self, count: int) -> None:
        """So many files are somebody else's, whether they are open or not."""
        self._others += count

    def standing(self) -> Standing:
        """How the newest of ``connections`` stands."""
        free = self.limit - self._others - len(self.connections)
        if free >= self.reserve:
            return Standing.FREE
        return Standing.SHORT if free >= self.reserve * (1 - SHORT_SHARE) else Standing.NONE

    def make_room(self) -> bool:
        """Drop the connection that has been waited for longest; False where there is none."""
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        del self.idle[oldest]
        oldest.abort()
        return True


def _open_now() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 32  # elsewhere than on Linux: more than there are

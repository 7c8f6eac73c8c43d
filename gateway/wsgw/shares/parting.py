"""Connections that count nowhere any more, and are there until their clients answer a close: only some at a time."""

from __future__ import annotations

from typing import Protocol

#: At a time, in one process.
MAX_PARTING = 256


class Droppable(Protocol):
    """As much of a connection as is needed."""

    def abort(self) -> None:
        """Drop it without a word."""


class Parting:
    """Of one process. One too many takes the place of the one that has been there for longest, which is dropped.

    That one has been sent its close all the same: its client hears why, and only the closing handshake is cut short.
    """

    __slots__ = ("_connections", "_most")

    def __init__(self, most: int = MAX_PARTING) -> None:
        self._connections: dict[Droppable, None] = {}  # the one that has been there for longest first
        self._most = most

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Droppable) -> None:
        """It has been closed, and waits for its client."""
        if connection not in self._connections and len(self._connections) >= self._most:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.abort()
        self._connections[connection] = None

    def discard(self, connection: Droppable) -> None:
        """It is gone."""
        self._connections.pop(connection, None)

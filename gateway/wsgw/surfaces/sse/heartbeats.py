"""The heartbeats of streams on which nothing else was written for a while: one timer for all."""

from __future__ import annotations

import asyncio
from typing import Protocol

from wsgw.shares.slices import Slices, one_by_one

#: A stream is told something at least every LOOK_SECONDS * QUIET_LOOKS, and the time that a walk over all takes: before
#: the 15 s after which HTML advises it (section 9.2.7), for proxies end what is silent.
LOOK_SECONDS = 4.5
QUIET_LOOKS = 3


class Stream(Protocol):
    """One that heartbeats are for."""

    def beat(self) -> None:
        """A look, LOOK_SECONDS after the last one."""


class Heartbeats:
    """The timer runs while there are streams. Looks at many are worked off in turn with others' work."""

    __slots__ = ("_slices", "_streams", "_timer")

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
        self._streams: set[Stream] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Stream) -> None:
        """``stream`` is there."""
        self._streams.add(stream)
        if self._timer is None:
            self._wait()

    def discard(self, stream: Stream) -> None:
        """It is not any more; harmless when repeated."""
        self._streams.discard(stream)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._wait()
        self._slices.queue(one_by_one(list(self._streams), self._beat))

    def _beat(self, stream: Stream) -> None:
        if stream in self._streams:  # it may be gone meanwhile
            stream.beat()

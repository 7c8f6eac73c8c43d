"""What is kept for clients, in bytes of the whole process: one figure, with a bound.

Counted are outboxes with their overhead, control items, bodies and messages that are not complete, what waits to be
worked off, and sessions that have not connected: everything that clients can make grow. Above the bound new work is
refused, and those for whom most is kept are ended until a tenth of it is free; but not those whose share in it is a
part in what many have: these lose some of that (``Sender.evict``).
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import time
from collections.abc import Callable
from operator import methodcaller
from typing import Protocol

#: Who holds less need not be a ``Holder``, and is not ended: it would free nothing worth a client.
HOLDER_BYTES = 1024
#: Of the bound: ending the largest goes on down to it.
RELIEVED_SHARE = 0.9
#: Holders that are ended in one tick, and the longest that it goes on; the next ones follow in the next.
MAX_EVICTIONS = 64
MAX_RELIEVING_SECONDS = 0.01
#: After a tick in which those that were ended freed less than half of what they said they held, nobody is ended for
#: this long.
IN_VAIN_SECONDS = 1.0

_HELD_BYTES: Callable[[Holder], int] = methodcaller("held_bytes")


class Holder(Protocol):
    """Somebody for whom bytes are kept."""

    def held_bytes(self) -> int:
        """How many; of what is shared with others a part."""

    def evict(self) -> None:
        """End the client and free them: ``Memory.add`` hears of that before the return. Must not raise.

        Or free some, which makes ``held_bytes`` less, and ``register`` again.
        """


class Memory:
    """Belongs to one loop, which may be left out where there is no limit. ``add`` and ``discard`` are cheap."""

    __slots__ = ("_holders", "_loop", "_relieving", "limit_bytes", "on_evicted", "used_bytes")

    def __init__(self, limit_bytes: int = sys.maxsize, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        #: told how many holders were ended in a tick
        self.on_evicted: Callable[[int], None] = _nobody
        self._loop = loop
        self._holders: set[Holder] = set()
        self._relieving = False

    @property
    def full(self) -> bool:
        """New work is to be refused."""
        return self.used_bytes > self.limit_bytes

    def add(self, size: int) -> None:
        """``size`` bytes more are kept; fewer where it is negative."""
        self.used_bytes += size
        if self.used_bytes > self.limit_bytes:
            self._look()

    def change(self, holder: Holder, before: int, now: int) -> None:
        """``holder`` keeps ``now`` bytes and had ``before``; while they are many it may be ended for want of memory."""
        self.add(now - before)
        if before < HOLDER_BYTES <= now:
            self.register(holder)
        elif now < HOLDER_BYTES <= before:
            self.discard(holder)

    def register(self, holder: Holder) -> None:
        """``holder`` may be ended where memory is short. Until ``discard``; it is to be said again for nothing."""
        self._holders.add(holder)

    def discard(self, holder: Holder) -> None:
        """Undo ``register``; harmless without it."""
        self._holders.discard(holder)

    # -- inside

    def _relieve(self) -> None:
        found = in_vain = False
        try:  # what is freed meanwhile asks for no other look: whether there is one is decided below
            if self.full:
                found, in_vain = self._end_largest()
        finally:
            self._relieving = in_vain
        if in_vain:
            assert self._loop is not None
            self._loop.call_later(IN_VAIN_SECONDS, self._relieve)
        elif found:
            self._look()

    def _end_largest(self) -> tuple[bool, bool]:
        """Until enough is free or nobody holds much: whether anybody was asked, and whether ending them was in vain."""
        enough = RELIEVED_SHARE * self.limit_bytes
        until = time.monotonic() + MAX_RELIEVING_SECONDS
        ended = said = freed = 0
        found = least = 0
        for holder in heapq.nlargest(MAX_EVICTIONS, self._holders, key=_HELD_BYTES):
            held, before = holder.held_bytes(), self.used_bytes
            if before <= enough or held < HOLDER_BYTES or (found and time.monotonic() > until):
                break
            if ended < found and held < least:  # of those who freed some and stay, some may still hold more
                break
            least = max(least, held // 2)
            found += 1
            self._holders.discard(holder)
            holder.evict()
            if holder not in self._holders:
                ended += 1
                said += held
                freed += before - self.used_bytes
        if ended:
            self.on_evicted(ended)
        return found > 0, 2 * freed < said

    def _look(self) -> None:
        if self.used_bytes > self.limit_bytes and not self._relieving:
            self._relieving = True
            assert self._loop is not None
            self._loop.call_soon(self._relieve)


def _nobody(ended: int) -> None:
    """Hears nothing."""

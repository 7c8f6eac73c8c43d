"""What a client that is behind has still to be sent of a page, which it may share with many."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from wsgw.bridges.pages import Page
from wsgw.fanout.publication import StreamPublication
from wsgw.shares.memory import Memory

_SEQUENCE = attrgetter("sequence")


class Portion:
    """One client's; empty at first. A ``memory.Holder``: clients need not take it. ``drop`` it in the end."""

    __slots__ = ("_at", "_end", "_memory", "_page")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._page: Page | None = None
        self._at = self._end = 0

    def __bool__(self) -> bool:
        return self._page is not None

    def take(self, page: Page, after: int, until: int) -> bool:
        """Take those of ``page`` behind ``after``, up to ``until``, instead; whether there are any."""
        self.drop()
        self._at = bisect_right(page.publications, after, key=_SEQUENCE)
        self._end = bisect_right(page.publications, until, key=_SEQUENCE)
        if self._at >= self._end:
            return False
        self._page = page
        page.holders += 1
        if page.holders == 1:
            self._memory.add(page.held_bytes)
        self._memory.register(self)
        return True

    def first(self, count: int) -> list[StreamPublication]:
        """The first ``count`` of them, or as many as there are."""
        return [] if self._page is None else list(self._page.publications[self._at : min(self._at + count, self._end)])

    def sent(self, count: int) -> None:
        """The first ``count`` are sent."""
        self._at += count
        if self._at >= self._end:
            self.drop()

    def drop(self) -> None:
        """Be empty."""
        page, self._page = self._page, None
        self._memory.discard(self)
        if page is not None:
            page.holders -= 1
            if not page.holders:
                self._memory.add(-page.held_bytes)

    # -- memory.Holder

    def held_bytes(self) -> int:
        return 0 if self._page is None else self._page.held_bytes // self._page.holders

    def evict(self) -> None:
        """Keep none of it: it can be read again. The client stays."""
        self.drop()
        self._memory.register(self)

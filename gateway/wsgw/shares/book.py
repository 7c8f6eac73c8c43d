"""What is remembered of clients by name: how many connections each has, and what it took of its rates. Bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from wsgw.shares.bucket import Bucket, Rate

#: Names that are remembered at a time, by default.
MAX_ENTRIES = 100_000
#: Looked at in one ``sweep``.
SWEPT = 1000


class Quota(NamedTuple):
    """What one name may have: None is no limit. ``connections`` at a time, the others are rates."""

    connections: int | None = None
    connects: Rate | None = None
    messages: Rate | None = None
    bytes: Rate | None = None


class Entry:
    """What is remembered of one ``name``."""

    __slots__ = ("bytes", "connections", "connects", "messages", "name")

    def __init__(self, name: str, quota: Quota) -> None:
        self.name = name
        self.connections = 0
        self.connects = None if quota.connects is None else Bucket(quota.connects)
        self.messages = None if quota.messages is None else Bucket(quota.messages)
        self.bytes = None if quota.bytes is None else Bucket(quota.bytes)

    def is_blank(self, now: float) -> bool:
        """Whether it says no more than one that was made now."""
        if self.connections:
            return False
        for bucket in (self.messages, self.connects, self.bytes):
            if bucket is not None and not bucket.is_full(now):
                return False
        return True


class Book:
    """Entries by name, each of which may have ``quota``.

    At most ``max_entries`` are kept. Who comes then takes the place of the one without a connection that was heard of
    least lately: what that one took of its rates is forgotten. Where all have connections, who comes has no entry, and
    is not limited. So many names make the limits weaker for those who have them, and stricter for nobody.
    """

    __slots__ = ("_busy", "_idle", "_max_entries", "_unswept", "quota")

    def __init__(self, quota: Quota, max_entries: int = MAX_ENTRIES) -> None:
        self.quota = quota
        self._max_entries = max_entries
        self._busy: dict[str, Entry] = {}  # with connections
        self._idle: OrderedDict[str, Entry] = OrderedDict()  # the one heard of least lately first
        self._unswept: list[str] = []  # names of those, as they were once: a sweep moves none of them

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    def find(self, name: str) -> Entry | None:
        """The entry of ``name``, which is made where there is none; None where there is no room for it."""
        entry = self._busy.get(name)
        if entry is not None:
            return entry
        entry = self._idle.get(name)
        if entry is not None:
            self._idle.move_to_end(name)
            return entry
        if len(self) >= self._max_entries:
            if not self._idle:
                return None
            self._idle.popitem(last=False)
        entry = self._idle[name] = Entry(name, self.quota)
        return entry

    def enter(self, entry: Entry) -> bool:
        """One connection more; False, and nothing changes, where it has as many as it may.

        To be called with what ``find`` returned, before another name is looked for: that one may take its place.
        """
        most = self.quota.connections
        if most is not None and entry.connections >= most:
            return False
        entry.connections += 1
        if entry.connections == 1:
            self._busy[entry.name] = self._idle.pop(entry.name)
        return True

    def leave(self, entry: Entry) -> None:
        """One connection less: as often as ``enter`` said True."""
        entry.connections -= 1
        if not entry.connections:
            self._idle[entry.name] = self._busy.pop(entry.name)

    def sweep(self, now: float) -> None:
        """Drop entries that say nothing, of some of those that may; to be called now and then."""
        idle = self._idle
        if not self._unswept:
            self._unswept = list(dict.keys(idle))  # in any order: in its own it would take ten times as long
        names = self._unswept[-SWEPT:]
        del self._unswept[-SWEPT:]
        for name in names:
            entry = idle.get(name)
            if entry is not None and entry.is_blank(now):
                del idle[name]

"""The newest publications of a durable channel, kept here so that who comes back needs no read of the stream.

What is here is whole: everything that the stream brought after ``floor``, up to ``last``, in its order. A client whose
position is ``floor`` or later lacks nothing that is not here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.shares.memory import Memory

MAX_MESSAGES = 65_536
MAX_BYTES = 16 * 1024 * 1024
#: Where it is full, one in so many goes at a time: to drop one costs nearly what it costs to drop them all.
DROPPED_SHARE = 1024

_sequence, _stored_at = attrgetter("sequence"), attrgetter("stored_at_ns")
#: In the place of one that was dropped, so that it is freed.
_GONE = StreamPublication(Publication("", b"", 0.0), "", 0, 0)


class History:
    """Of the stream of that ``identity``. What is kept counts in ``memory``, whose ``Holder`` it is."""

    __slots__ = ("_kept", "_memory", "_start", "bytes", "floor", "identity", "last")

    def __init__(self, identity: str, last: int, memory: Memory) -> None:
        self.identity = identity
        #: the newest publication that is not here any more, or was before this was made
        self.floor = last
        #: the newest publication there was
        self.last = last
        #: of memory, that it takes
        self.bytes = 0
        self._kept: list[StreamPublication] = []  # a list, from ``_start`` on: a deque is slow to look into
        self._start = 0
        self._memory = memory
        memory.register(self)

    def __len__(self) -> int:
        return len(self._kept) - self._start

    def add(self, publication: StreamPublication) -> None:
        """``publication`` comes after all that came before."""
        self._kept.append(publication)
        self.last = publication.sequence
        size = publication.kept_bytes
        self.bytes += size
        self._memory.add(size)
        while len(self) > MAX_MESSAGES or self.bytes > MAX_BYTES:
            self._drop(max(1, len(self) // DROPPED_SHARE))

    def after(self, sequence: int, most: int) -> list[StreamPublication]:
        """The oldest ``most`` that came after ``sequence``, which is ``floor`` or later."""
        if sequence >= self.last:
            return []
        first = bisect_right(self._kept, sequence, self._start, key=_sequence)
        return self._kept[first : first + most]

    def newest(self, count: int) -> int | None:
        """The position before the newest ``count`` publications; None where not so many are here."""
        if count > len(self):
            return None
        if count == len(self):
            return self.floor
        return self._kept[-count - 1].sequence

    def since(self, stored_at_ns: int) -> int | None:
        """The position before the oldest publication that was stored then or later; None where that may not be here."""
        first = bisect_left(self._kept, stored_at_ns, self._start, key=_stored_at)
        return None if first == self._start else self._kept[first - 1].sequence

    def cut(self, sequence: int) -> None:
        """Of what came up to ``sequence`` something is missing: keep none of it."""
        self._drop(len(self))
        self.floor = self.last = sequence

    def close(self) -> None:
        """Forget everything, for good."""
        self._drop(len(self))
        self._memory.discard(self)

    # -- memory.Holder

    def held_bytes(self) -> int:
        return self.bytes

    def evict(self) -> None:
        """The older half: clients that are further behind are brought up to date from the stream."""
        self._drop((len(self) + 1) // 2)
        self._memory.register(self)  # it has not ended, be it empty now: no client has

    # -- inside

    def _drop(self, count: int) -> None:
        if not count:
            return
        kept, start = self._kept, self._start
        freed = sum([publication.kept_bytes for publication in kept[start : start + count]])
        self.floor = kept[start + count - 1].sequence
        self._start = start = start + count
        if 2 * start > len(kept):
            del kept[:start]
            self._start = 0
        else:
            kept[start - count : start] = [_GONE] * count
        self.bytes -= freed
        self._memory.add(-freed)

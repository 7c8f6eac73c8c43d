"""Tells second copies apart while two connections to NATS bring the same publications, each in its publishers' order.

The old connection leads: what it brings is delivered. What the new one brings is kept until the old one has brought it,
too, and then dropped; where the old one was first, the second copy is dropped as it comes. At the cut what is still
kept is delivered, in order, and from then on the new one alone. So nothing is lost, doubled or reordered, whichever
server is ahead of the other, provided that

- the new one brings all that is published from some moment before the cut on, and the old one brought all before it;
- what is equal is not sent again faster than the servers follow one another: copies carry no identity, and are paired
  by what they are. Of equal payloads in a row one can be missed or doubled. When no second copy comes any more is for
  the caller to know. (Within one connection a fence proves it: see ``bridges.overlap``.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from wsgw.fanout.publication import Publication

#: What is remembered of the old connection's.
MOST_AHEAD = 100_000
#: What is kept of the new one's; beyond it the cut has to come.
MOST_KEPT = 20_000
MOST_KEPT_BYTES = 64 * 1024 * 1024

Deliver = Callable[[Publication], None]


class Twins:
    """``clock()`` is in seconds. A key is a hash of subscription, subject and payload."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead: dict[int, list[float]] = {}  # when the old connection brought it, the new one has not
        self._order: deque[tuple[float, int]] = deque()  # of all that it brought
        self._kept: dict[int, tuple[int, Deliver, Publication]] = {}  # in order, by a number
        self._kept_by: dict[int, deque[int]] = {}
        self._kept_bytes = 0
        self._number = 0
        #: the old connection leads
        self.leads = True

    @property
    def full(self) -> bool:
        """Whether too much is kept."""
        return len(self._kept) > MOST_KEPT or self._kept_bytes > MOST_KEPT_BYTES

    def old_came(self, key: int) -> bool:
        """The old connection brings a copy; whether it is to be delivered."""
        if not self.leads:
            return False
        numbers = self._kept_by.get(key)
        if numbers is not None:
            self._drop(numbers[0])
            return True
        now = self._clock()
        self._ahead.setdefault(key, []).append(now)
        self._order.append((now, key))
        if len(self._order) > MOST_AHEAD:
            self._forget_first()
        return True

    def new_came(self, key: int, deliver: Deliver, publication: Publication) -> bool:
        """The new connection brings a copy; whether it is to be delivered now. Else ``deliver`` may get it later."""
        ahead = self._ahead.get(key)
        if ahead is not None:
            ahead.pop()  # the youngest: older ones are of what came by the old connection alone
            if not ahead:
                del self._ahead[key]
            return False
        if not self.leads:
            return True
        self._number += 1
        self._kept[self._number] = key, deliver, publication
        self._kept_by.setdefault(key, deque()).append(self._number)
        self._kept_bytes += len(publication.payload)
        return False

    def forget(self, before: float) -> None:
        """What the old connection brought earlier has no second copy that is still to come."""
        while self._order and self._order[0][0] < before:
            self._forget_first()

    def cut(self) -> None:
        """The new connection leads: what is kept is delivered. Harmless when repeated."""
        self.leads = False
        kept, self._kept = self._kept, {}
        self._kept_by.clear()
        self._kept_bytes = 0
        for _, deliver, publication in kept.values():
            deliver(publication)

    # -- inside

    def _drop(self, number: int) -> None:
        key, _, publication = self._kept.pop(number)
        numbers = self._kept_by[key]
        numbers.remove(number)
        if not numbers:
            del self._kept_by[key]
        self._kept_bytes -= len(publication.payload)

    def _forget_first(self) -> None:
        at, key = self._order.popleft()
        ahead = self._ahead.get(key)
        while ahead and ahead[0] <= at:
            del ahead[0]
        if ahead is not None and not ahead:
            del self._ahead[key]

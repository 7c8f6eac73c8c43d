"""Tells second copies apart while two NATS subscriptions bring the same publications.

When a pattern's subscription replaces those of its concrete subjects, or they replace it, both are in effect for a
while and a publication comes by both. The first copy is delivered, the second is not, so nothing is lost or doubled
and each publisher's order is kept. Copies carry no identity: they are paired by name and payload, the youngest
unpaired first. What came by the old subscription alone stays unpaired and is forgotten after ``window`` seconds;
the caller keeps both subscriptions for longer than that. (Equal payloads can change places with others where one was
published less than ``window`` before the change and the network parts two copies; each is still delivered once.)

Until the new subscription is known to be in effect its copies are not delivered: NATS' client runs a task for each
subscription, and the new one's first publication could overtake the old one's last.
"""

from __future__ import annotations

from collections import deque
from enum import Enum


class Source(Enum):
    """Which kind of subscription brought a copy."""

    PATTERN = "pattern"
    CONCRETE = "concrete"


class _Copy:
    __slots__ = ("at", "delivered", "source")

    def __init__(self, source: Source, at: float, delivered: bool) -> None:
        self.source = source
        self.at = at
        self.delivered = delivered


class Overlap:
    """A change to ``new``; ``window`` is in seconds of the clock whose readings are passed in."""

    def __init__(self, new: Source, window: float) -> None:
        self._new = new
        self._window = window
        self._settled: set[str] = set()
        self._all_settled = False
        self._unpaired: dict[tuple[str, bytes], list[_Copy]] = {}
        self._order: deque[tuple[float, tuple[str, bytes]]] = deque()

    def settle(self, name: str) -> None:
        """The new concrete subscription of ``name`` is in effect: its copies count from now on."""
        self._settled.add(name)

    def settle_all(self) -> None:
        """The new pattern subscription is in effect, for every name."""
        self._all_settled = True
        # NATS writes the copy for a pattern before the one for a literal subject, so here every old copy has met its
        # new one; those left had none, and could be taken for the twin of an equal publication to come. A new copy
        # may be still without its old one.
        for key, waiting in list(self._unpaired.items()):
            waiting[:] = [copy for copy in waiting if copy.source is self._new]
            if not waiting:
                del self._unpaired[key]

    def is_first(self, source: Source, name: str, payload: bytes, now: float) -> bool:
        """Whether this copy is the one to deliver."""
        self._forget(now)
        key = (name, payload)
        waiting = self._unpaired.setdefault(key, [])
        if waiting and waiting[-1].source is not source:
            twin = waiting.pop()
            return not twin.delivered
        deliver = source is not self._new or self._all_settled or name in self._settled
        waiting.append(_Copy(source, now, deliver))
        self._order.append((now, key))
        return deliver

    def _forget(self, now: float) -> None:
        while self._order and now - self._order[0][0] > self._window:
            _, key = self._order.popleft()
            waiting = self._unpaired.get(key)
            if waiting is None:
                continue
            while waiting and now - waiting[0].at > self._window:
                del waiting[0]
            if not waiting:
                del self._unpaired[key]

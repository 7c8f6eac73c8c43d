"""Tells second copies apart while two NATS subscriptions bring the same publications.

When a pattern's subscription replaces those of its concrete subjects, or they replace it, both are in effect for a
while and a publication comes by both. The first copy is delivered, the second is not, so nothing is lost or doubled.
Each publisher's order is kept because copies come here in the order NATS wrote them (``broker.parser``), and both
copies of a publication are written before any of that publisher's next; so it does not matter which copy is first, nor
when the new subscription's first one comes.

Copies carry no identity: they are paired by name and payload, the youngest unpaired first. What came by the old
subscription alone stays unpaired, and is forgotten when no twin can come any more, however slow the network is: when a
fence has come back that was sent after it was read, for NATS had written the twin, if there is one, before that.
NATS appends a new subscription to what it remembers of a subject just published to, so that the old copy is written
first and an unpaired one is not taken for the twin of an equal publication. (Should NATS have forgotten the subject in
between, and equal payloads go on all the time, one of them can be missed.)
"""

from __future__ import annotations

from collections import deque
from enum import Enum


class Via(Enum):
    """Which kind of subscription brought a copy."""

    PATTERN = "pattern"
    CONCRETE = "concrete"


class Overlap:
    """A change of ``names`` to ``new``; other names are served by ``new`` only."""

    def __init__(self, new: Via, names: set[str]) -> None:
        self._new = new
        self._names = set(names)
        self._generation = 0
        self._unpaired: dict[tuple[str, bytes], list[tuple[Via, int]]] = {}  # with the generation they were read in
        self._order: deque[tuple[int, tuple[str, bytes]]] = deque()

    def leave_out(self, name: str) -> None:
        """``name`` is joined anew: what its old subscription brings is not for who joins."""
        self._names.discard(name)

    def is_first(self, via: Via, name: str, payload: bytes) -> bool:
        """Whether this copy is the one to deliver."""
        if name not in self._names:
            return via is self._new
        key = (name, payload)
        waiting = self._unpaired.setdefault(key, [])
        if waiting and waiting[-1][0] is not via:
            waiting.pop()
            return False
        waiting.append((via, self._generation))
        self._order.append((self._generation, key))
        return True

    def mark(self) -> int:
        """To be called before a fence is sent; what it returns is for ``forget`` when the fence is back."""
        self._generation += 1
        return self._generation

    def forget(self, mark: int) -> None:
        """No twin comes any more of what was read before ``mark`` was made."""
        while self._order and self._order[0][0] < mark:
            _, key = self._order.popleft()
            waiting = self._unpaired.get(key)
            if waiting is None:
                continue
            while waiting and waiting[0][1] < mark:
                del waiting[0]
            if not waiting:
                del self._unpaired[key]

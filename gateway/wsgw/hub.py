"""The table of subscriptions, and the fan-out of publications to them.

Synchronous, and knows neither NATS nor sockets: it calls the encoders and senders it was given. What arrives in one
turn is encoded once per wire, kept, and handed to every subscriber as one batch when the turn ends. A fan-out that
takes long goes on in later ticks, so that others get theirs; meanwhile nothing more is read from NATS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from wsgw.channels import Channel
from wsgw.group import Group
from wsgw.metrics import Metrics
from wsgw.publication import Publication, Wire
from wsgw.sender import Sender
from wsgw.turn import Turn

#: Longest that subscribers are served in one tick.
SLICE_SECONDS = 0.01


class Source(Protocol):
    """Where publications come from."""

    def hold(self) -> None:
        """Bring none until ``release``; what was read already may still come."""

    def release(self) -> None:
        """Undo ``hold``."""


class Hub:
    """``turn`` says when to hand on, ``clock()`` is the loop's time in seconds; ``source`` is held while we lag."""

    def __init__(self, metrics: Metrics, turn: Turn, clock: Callable[[], float], source: Source) -> None:
        self.metrics = metrics
        self._turn = turn
        self._clock = clock
        self._source = source
        self._holding = False
        self._groups: dict[str, list[Group]] = {}
        self._dirty: deque[Group] = deque()  # while there are any, a flush is on its way
        metrics.on_read.append(self._report)

    def subscribe(self, channel: Channel, name: str, wire: Wire, sender: Sender) -> None:
        """From now on ``sender`` gets publications to ``name``, which is ``channel``'s name or matches it.

        A sender subscribes to a name at most once.
        """
        groups = self._groups.get(name)
        if groups is None:
            groups = self._groups[name] = []
        group = next((group for group in groups if group.wire is wire), None)
        if group is None:
            group = Group(channel, wire, self.metrics, self._clock, self._schedule)
            groups.append(group)
        group.join(sender)
        self.metrics.subscriptions.labels(channel.name).inc()

    def unsubscribe(self, name: str, wire: Wire, sender: Sender) -> None:
        """End a subscription made by ``subscribe`` with the same arguments; what came before it still goes out."""
        groups = self._groups[name]
        group = next(group for group in groups if group.wire is wire)
        group.leave(sender)
        self.metrics.subscriptions.labels(group.channel.name).dec()
        if not group:
            group.report()
            groups.remove(group)
        if not groups:
            del self._groups[name]

    def publish(self, name: str, publication: Publication) -> None:
        """Fan ``publication`` out to the subscribers of ``name``."""
        for group in self._groups.get(name, ()):
            group.add(name, publication)

    def has(self, name: str) -> bool:
        """Whether anybody subscribes to ``name``."""
        return name in self._groups

    def flush(self, seconds: float = SLICE_SECONDS) -> None:
        """Hand what is kept to the subscribers, for about ``seconds``; what is left then follows in the next ticks."""
        dirty = self._dirty
        until = self._clock() + seconds
        while dirty:
            group = dirty.popleft()
            if group.flush(until):
                group.scheduled = False
            else:
                dirty.append(group)
            if self._clock() >= until:
                break
        if dirty:
            if not self._holding:
                self._holding = True
                self._source.hold()
            self._turn.call_later(self.flush)
        elif self._holding:
            self._holding = False
            self._source.release()

    # -- inside

    def _schedule(self, group: Group) -> None:
        if not self._dirty:
            self._turn.call_soon(self.flush)
        group.scheduled = True
        self._dirty.append(group)

    def _report(self) -> None:
        for groups in self._groups.values():
            for group in groups:
                group.report()

"""The table of subscriptions, and the fan-out of publications to them.

Synchronous, and knows neither NATS nor sockets: it calls the encoders and senders it was given. What arrives in one
turn is encoded once per wire, kept, and handed to every subscriber as one batch when the turn ends. A fan-out that
takes long goes on in later ticks, so that others get theirs; meanwhile nothing more is read from NATS.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from wsgw.channels import Channel
from wsgw.group import Group
from wsgw.metrics import Metrics
from wsgw.publication import Publication, Wire
from wsgw.sender import Sender
from wsgw.turn import Turn

log = logging.getLogger("wsgw.hub")

#: Longest that subscribers are served in one tick.
SLICE_SECONDS = 0.01


class Source(Protocol):
    """Where publications come from."""

    def hold(self) -> None:
        """Bring none until ``release``; what was read already may still come."""

    def release(self) -> None:
        """Undo ``hold``."""


class Hub:
    """``turn`` says when to hand on, ``clock()`` is that of publications; ``source`` is held while we lag."""

    def __init__(self, metrics: Metrics, turn: Turn, clock: Callable[[], float], source: Source) -> None:
        self.metrics = metrics
        self._turn = turn
        self._clock = clock
        self._source = source
        self._held_at: float | None = None  # while the source is held
        self._held_before = 0.0
        self._groups: dict[str, list[Group]] = {}
        self._dirty: deque[Group] = deque()  # while there are any, a flush is on its way
        self._on_its_way = False
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
        dirty, clock = self._dirty, self._clock
        until = clock() + seconds
        while dirty and clock() < until:
            group = dirty.popleft()
            group.scheduled = False
            try:
                served = group.flush(until)
            except Exception:  # the others have to be served
                log.exception("channel %s: the fan-out failed", group.channel.name)
                continue
            if not served and not group.scheduled:
                group.scheduled = True
                dirty.append(group)
        if dirty:
            if self._held_at is None:
                self._held_at = clock()
            self._source.hold()  # every time: it may be another one now
            self._wake(self._turn.call_later)
        elif self._held_at is not None:
            self._held_before, self._held_at = self.held_seconds, None
            self._source.release()

    @property
    def held_seconds(self) -> float:
        """How long the source has been held so far, all times together."""
        return self._held_before + (0.0 if self._held_at is None else self._clock() - self._held_at)

    # -- inside

    def _schedule(self, group: Group) -> None:
        group.scheduled = True
        self._dirty.append(group)
        self._wake(self._turn.call_soon)

    def _wake(self, call: Callable[[Callable[[], None]], None]) -> None:
        if not self._on_its_way:
            self._on_its_way = True
            call(self._woken)

    def _woken(self) -> None:
        self._on_its_way = False
        self.flush()

    def _report(self) -> None:
        for groups in self._groups.values():
            for group in groups:
                group.report()

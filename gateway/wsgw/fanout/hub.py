"""The table of subscriptions, and the fan-out of publications to them.

Synchronous, and knows neither NATS nor sockets: it calls the encoders and senders it was given. What arrives in one
turn is encoded once per wire, kept, and handed to every subscriber as one batch when the turn ends. A fan-out that
takes long goes on in later ticks, so that others get theirs; meanwhile nothing more is read from NATS.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from wsgw.channels.channel import Channel
from wsgw.fanout.audience import Audience
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.gap import Gap
from wsgw.fanout.publication import BATCH_BYTES, Publication, StreamPublication, Wire
from wsgw.fanout.replays import Replays
from wsgw.fanout.sender import Sender
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics

log = logging.getLogger("wsgw.hub")

#: Longest that subscribers are served in one tick.
SLICE_SECONDS = 0.01
#: Bytes that a replayed batch keeps of what it was made into for clients that stand elsewhere (see ``stamp``).
MAX_MADE_BYTES = 2 * BATCH_BYTES


class Upstream(Protocol):
    """Where publications come from."""

    def hold(self) -> None:
        """Bring none until ``release``; what was read already may still come."""

    def release(self) -> None:
        """Undo ``hold``."""


class Hub:
    """``turn`` says when to hand on, ``clock()`` is that of publications; ``source`` is held while we lag."""

    def __init__(self, metrics: Metrics, turn: Turn, clock: Callable[[], float], source: Upstream) -> None:
        self.metrics = metrics
        self._turn = turn
        self._clock = clock
        self._source = source
        self._held = False  # the source
        self._audiences: dict[str, list[Audience]] = {}  # by key
        self._deliveries: dict[tuple[str, str], Deliveries] = {}  # by channel and transport
        self._dirty: deque[Audience] = deque()  # while there are any, a flush is on its way
        self._on_its_way = False
        self._replays = Replays()
        self._idle: list[Callable[[], None]] = []  # who waits until all is handed on
        self._outage = (0, Gap(0))  # the newest, and the connection to NATS that ended it
        #: the number of the newest gap
        self.gaps = 0
        metrics.on_read.append(self._report)

    def subscribe(self, channel: Channel, key: str, sender: Sender) -> None:
        """From now on ``sender`` gets publications to ``key``, of ``channel``'s name or of one that matches it.

        A sender subscribes to a key at most once.
        """
        wire = sender.wire
        audiences = self._audiences.get(key)
        if audiences is None:
            audiences = self._audiences[key] = []
        counts = self._counts(channel, wire)
        # a name may belong to another channel by now than that of those who are still to leave it
        audience = next((each for each in audiences if each.wire is wire and each.deliveries is counts), None)
        if audience is None:
            audience = Audience(key, wire, counts, self._clock, self._schedule)
            audiences.append(audience)
        audience.join(sender)
        audience.deliveries.subscriptions += 1

    def unsubscribe(self, key: str, sender: Sender) -> None:
        """End a subscription made by ``subscribe``; what came before it still goes out."""
        audiences = self._audiences[key]
        audience = next(audience for audience in audiences if sender in audience)
        audience.leave(sender)
        audience.deliveries.subscriptions -= 1
        if not audience:
            audiences.remove(audience)
        if not audiences:
            del self._audiences[key]

    def change(self, channels: Mapping[str, Channel]) -> None:
        """``channels``, by name, have other options than those of these names before, or are others."""
        for (name, _), deliveries in self._deliveries.items():
            channel = channels.get(name)
            if channel is not None:
                deliveries.change(channel)
        self._replays.clear()

    def deliver(self, channel: Channel, key: str, sender: Sender, publications: Sequence[StreamPublication]) -> None:
        """Bring a client that subscribes to ``key`` up to date with ``publications``, in order, at least one."""
        wire = sender.wire
        made = self._replays.batch(self._counts(channel, wire), wire, key, publications)
        if sender.offer(made):
            made.deliveries.messages += len(made.items)
            made.deliveries.bytes += made.size
        if made.made_bytes > MAX_MADE_BYTES:
            made.made.clear()

    def publish(self, key: str, publication: Publication) -> None:
        """Fan ``publication`` out to the subscribers of ``key``."""
        for audience in self._audiences.get(key, ()):
            audience.add(publication)

    def flush(self, seconds: float = SLICE_SECONDS) -> None:
        """Hand what is kept to the subscribers, for about ``seconds``; what is left then follows in the next ticks."""
        dirty, clock = self._dirty, self._clock
        until = clock() + seconds
        while dirty and clock() < until:
            audience = dirty.popleft()
            audience.scheduled = False
            try:
                served = audience.flush(until)
            except Exception:  # the others have to be served
                log.exception("channel %s: the fan-out failed", audience.deliveries.channel.name)
                continue
            if not served and not audience.scheduled:
                audience.scheduled = True
                dirty.append(audience)
        if dirty:
            self._held = True
            self._source.hold()  # every time: it may be another one now
            self._wake(self._turn.call_later)
        else:
            if self._held:
                self._held = False
                self._source.release()
            if self._idle:
                self._tell_idle()

    def when_idle(self, told: Callable[[], None]) -> bool:
        """Whether all that was published was handed to the subscribers; if not, ``told`` is called once when it was."""
        if self._dirty:
            self._idle.append(told)
            return False
        return True

    def gap(self, key: str, gap: Gap) -> None:
        """Tell the subscribers of ``key`` there are now of ``gap``: behind what was published, before what will be."""
        for audience in self._audiences.get(key, ()):
            audience.mark(gap)

    def new_gap(self, keys: frozenset[str]) -> Gap:
        """One of these alone."""
        self.gaps += 1
        return Gap(self.gaps, keys)

    def outage(self, connection: int) -> Gap:
        """The gap of all names that ``connection`` to NATS, by its number, ended: the same whoever asks."""
        ended_by, gap = self._outage
        if ended_by != connection:
            self.gaps += 1
            gap = Gap(self.gaps)
            self._outage = connection, gap
        return gap

    def settle(self, key: str) -> None:
        """Hand what is kept for ``key`` to its subscribers now: what they are told next comes behind it."""
        for audience in list(self._audiences.get(key, ())):
            audience.flush(math.inf)

    # -- inside

    def _tell_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for told in waiting:
            told()

    def _schedule(self, audience: Audience) -> None:
        audience.scheduled = True
        self._dirty.append(audience)
        self._wake(self._turn.call_soon)

    def _wake(self, call: Callable[[Callable[[], None]], None]) -> None:
        if not self._on_its_way:
            self._on_its_way = True
            call(self._woken)

    def _woken(self) -> None:
        self._on_its_way = False
        self.flush()

    def _counts(self, channel: Channel, wire: Wire) -> Deliveries:
        deliveries = self._deliveries.get((channel.name, wire.transport))
        if deliveries is None:
            deliveries = Deliveries(channel, wire.transport, self.metrics)
            self._deliveries[channel.name, wire.transport] = deliveries
        return deliveries

    def _report(self) -> None:
        for deliveries in self._deliveries.values():
            deliveries.report()

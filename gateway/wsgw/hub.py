"""The table of subscriptions, and the fan-out of publications to them.

Synchronous, and knows neither NATS nor sockets: it calls the encoders and senders it was given. What arrives within
one loop tick is encoded once per wire, kept, and handed to every subscriber as one batch when the tick ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from wsgw.channels import Channel
from wsgw.metrics import Metrics
from wsgw.publication import Batch, Encoded, Publication, Wire
from wsgw.sender import Sender

log = logging.getLogger("wsgw.hub")

#: A group is flushed before the tick ends once this many bytes wait in it.
BATCH_BYTES = 256 * 1024


class _Group:
    """The subscribers of one name that share a wire."""

    __slots__ = (
        "_bytes",
        "_deliveries",
        "_flushing",
        "_hub",
        "_latency",
        "_members",
        "channel",
        "first_at",
        "pending",
        "size",
        "wire",
    )

    def __init__(self, hub: Hub, channel: Channel, wire: Wire) -> None:
        metrics = hub.metrics
        self._hub = hub
        self._members: dict[Sender, None] = {}
        self._flushing = False
        self._deliveries = metrics.deliveries.labels(channel.name, wire.transport)
        self._bytes = metrics.delivered_bytes.labels(channel.name)
        self._latency = metrics.delivery_latency_seconds.labels(channel.name)
        self.channel = channel
        self.wire = wire
        self.pending: list[Encoded] = []
        self.size = 0
        self.first_at = 0.0

    def add(self, name: str, publication: Publication) -> None:
        item = self.wire.encode(name, publication)
        if not self.pending:
            self.first_at = publication.received_at
            self._hub.schedule(self)
        self.pending.append(item)
        self.size += item.size
        if self.size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        items, size = self.pending, self.size
        self.pending, self.size = [], 0
        batch = Batch(self.channel, items)
        written = 0
        self._flushing = True
        for sender in self._members:
            try:
                if sender.offer(batch):
                    written += 1
            except Exception:  # one client's fault is not another's
                log.exception("channel %s: writing to a client failed", self.channel.name)
        self._flushing = False
        if written:
            self._deliveries.inc(written * len(items))
            self._bytes.inc(written * size)
            self._latency.observe(self._hub.clock() - self.first_at)

    def join(self, sender: Sender) -> None:
        self.flush()  # what came before the subscription is not for it
        self._own_members()[sender] = None

    def leave(self, sender: Sender) -> None:
        self.flush()
        del self._own_members()[sender]

    def _own_members(self) -> dict[Sender, None]:
        """The members, to be changed: a copy while ``flush`` iterates over them."""
        if self._flushing:
            self._members = dict(self._members)
        return self._members

    def __len__(self) -> int:
        return len(self._members)


class Hub:
    """``call_soon(callback)`` runs a callback at the end of the tick; ``clock()`` is the loop's time in seconds."""

    def __init__(
        self, metrics: Metrics, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float]
    ) -> None:
        self.metrics = metrics
        self.clock = clock
        self._call_soon = call_soon
        self._groups: dict[str, list[_Group]] = {}
        self._dirty: list[_Group] = []

    def subscribe(self, channel: Channel, name: str, wire: Wire, sender: Sender) -> None:
        """From now on ``sender`` gets publications to ``name``, which is ``channel``'s name or matches it.

        A sender subscribes to a name at most once.
        """
        groups = self._groups.get(name)
        if groups is None:
            groups = self._groups[name] = []
        group = next((group for group in groups if group.wire is wire), None)
        if group is None:
            group = _Group(self, channel, wire)
            groups.append(group)
        group.join(sender)
        self.metrics.subscriptions.labels(channel.name).inc()

    def unsubscribe(self, name: str, wire: Wire, sender: Sender) -> None:
        """End a subscription made by ``subscribe`` with the same arguments."""
        groups = self._groups[name]
        group = next(group for group in groups if group.wire is wire)
        group.leave(sender)
        self.metrics.subscriptions.labels(group.channel.name).dec()
        if not group:
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

    def flush(self) -> None:
        """Hand everything kept to the subscribers now."""
        dirty: Sequence[_Group] = self._dirty
        self._dirty = []
        for group in dirty:
            group.flush()

    def schedule(self, group: _Group) -> None:
        """Flush ``group`` when the tick ends."""
        if not self._dirty:
            self._call_soon(self.flush)
        self._dirty.append(group)

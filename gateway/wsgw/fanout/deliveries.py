"""What became of one channel's publications to clients of one transport: the one place where that is counted."""

from __future__ import annotations

from wsgw.channels.channel import Channel, Payload, SlowConsumer
from wsgw.metrics import Metrics


class Deliveries:
    """``messages`` and ``bytes`` written to clients (one for each client) and ``dropped``, since the last ``report``.

    And by how many ``subscriptions`` there are more, or fewer; ``not_json`` are publications that should be JSON.

    Plain numbers, for a Counter costs more than a delivery. The series themselves are looked up here, once.
    """

    __slots__ = (
        "_bytes_total",
        "_dropped_total",
        "_messages_total",
        "_metrics",
        "_not_json_total",
        "_subscriptions_now",
        "bytes",
        "channel",
        "dropped",
        "latency",
        "looks_at_each",
        "messages",
        "needs_origins",
        "not_json",
        "subscriptions",
        "wants_json",
    )

    def __init__(self, channel: Channel, transport: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self.messages = 0
        self.bytes = 0
        self.dropped = 0
        self.subscriptions = 0
        self.not_json = 0
        #: seconds from a batch's first arrival to its writing
        self.latency = metrics.delivery_latency_seconds.labels(channel.name)
        self._subscriptions_now = metrics.subscriptions.labels(channel.name)
        self._messages_total = metrics.deliveries.labels(channel.name, transport)
        self._bytes_total = metrics.delivered_bytes.labels(channel.name)
        self._take(channel)

    def change(self, channel: Channel) -> None:
        """``channel``, of the same name, is what it is from now on, also for what waits in outboxes."""
        self.report()
        self._take(channel)

    def report(self) -> None:
        """Bring the metrics up to date."""
        self._messages_total.inc(self.messages)
        self._bytes_total.inc(self.bytes)
        self._dropped_total.inc(self.dropped)
        self._subscriptions_now.inc(self.subscriptions)
        if self._not_json_total is not None:
            self._not_json_total.inc(self.not_json)
            self.not_json = 0
        self.messages = self.bytes = self.dropped = self.subscriptions = 0

    # -- inside

    def _take(self, channel: Channel) -> None:
        self.channel = channel
        #: whether ``not_json`` is to be counted
        self.wants_json = channel.payload is Payload.JSON
        #: whether what is queued has to be told apart by name or subject
        self.needs_origins = channel.is_pattern or channel.slow_consumer is SlowConsumer.LATEST
        #: whether there is more to do with a publication than to encode it; of most channels there is not
        self.looks_at_each = self.wants_json or self.needs_origins
        self._not_json_total = self._metrics.not_json_messages.labels(channel.name) if self.wants_json else None
        self._dropped_total = self._metrics.dropped_messages.labels(channel.name, channel.slow_consumer)

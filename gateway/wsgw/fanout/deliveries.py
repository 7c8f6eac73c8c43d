"""What became of one channel's publications to clients of one transport: the one place where that is counted."""

from __future__ import annotations

from wsgw.channels.channel import Channel
from wsgw.metrics import Metrics


class Deliveries:
    """``messages`` and ``bytes`` written to clients (one for each client) and ``dropped``, since the last ``report``.

    Plain numbers, for a Counter costs more than a delivery. The series themselves are looked up here, once.
    """

    __slots__ = (
        "_bytes_total",
        "_dropped_total",
        "_messages_total",
        "bytes",
        "channel",
        "dropped",
        "latency",
        "messages",
        "subscriptions",
    )

    def __init__(self, channel: Channel, transport: str, metrics: Metrics) -> None:
        self.channel = channel
        self.messages = 0
        self.bytes = 0
        self.dropped = 0
        #: seconds from a batch's first arrival to its writing
        self.latency = metrics.delivery_latency_seconds.labels(channel.name)
        self.subscriptions = metrics.subscriptions.labels(channel.name)
        self._messages_total = metrics.deliveries.labels(channel.name, transport)
        self._bytes_total = metrics.delivered_bytes.labels(channel.name)
        self._dropped_total = metrics.dropped_messages.labels(channel.name, channel.slow_consumer)

    def report(self) -> None:
        """Bring the metrics up to date."""
        self._messages_total.inc(self.messages)
        self._bytes_total.inc(self.bytes)
        self._dropped_total.inc(self.dropped)
        self.messages = self.bytes = self.dropped = 0

"""The metric series that exist from the start, at 0: Prometheus sees the first increase of a counter only then."""

from __future__ import annotations

from wsgw.channels.channel import Channel, Direction, Use
from wsgw.channels.table import ChannelTable
from wsgw.errors import (
    CLOSE_CODES,
    FORBIDDEN,
    KINDS,
    NATS_UNAVAILABLE,
    NO_RESPONDERS,
    OVERLOADED,
    TIMEOUT,
    TOO_LARGE,
    UNCONFIRMED,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    Kind,
)
from wsgw.metrics import Metrics
from wsgw.protocols.engineio.packets import REQUEST_ERRORS

#: The values of the label ``transport``: of those who stay connected, and of all.
CONNECTED = ("websocket", "socketio")
TRANSPORTS = (*CONNECTED, "http")

_SENDING = (WRONG_DIRECTION, FORBIDDEN, NATS_UNAVAILABLE, OVERLOADED, TOO_LARGE, UNCONFIRMED)
#: Why what clients send to a channel can fail.
_PUBLISH_ERRORS: dict[Direction, tuple[Kind, ...]] = {
    Direction.INBOUND: (WRONG_DIRECTION,),
    Direction.OUTBOUND: _SENDING,
    Direction.BOTH: _SENDING,
    Direction.REQUEST: (*_SENDING, NO_RESPONDERS, TIMEOUT),
}


def make(metrics: Metrics, channels: ChannelTable) -> None:
    """Every series that is not rare."""
    for transport in CONNECTED:
        metrics.connections.labels(transport)
    for kind in KINDS:
        metrics.rejected.labels(kind.name)
    for refusal in REQUEST_ERRORS:
        metrics.rejected.labels(refusal.reason)
    for code in (*map(str, sorted(CLOSE_CODES)), "other"):
        metrics.closes.labels(code)
    for channel in channels:
        _make_of(metrics, channel)
    metrics.publish_errors.labels("", UNKNOWN_CHANNEL.name)


def _make_of(metrics: Metrics, channel: Channel) -> None:
    if Use.SUBSCRIBE in channel.uses:
        for metric in (
            metrics.subscriptions,
            metrics.nats_messages,
            metrics.delivered_bytes,
            metrics.gaps,
            metrics.delivery_latency_seconds,
        ):
            metric.labels(channel.name)
        metrics.dropped_messages.labels(channel.name, channel.slow_consumer)
        for transport in CONNECTED:
            metrics.deliveries.labels(channel.name, transport)
    if Use.PUBLISH in channel.uses:
        metrics.publish_seconds.labels(channel.name)
        for transport in TRANSPORTS:
            metrics.published_messages.labels(channel.name, transport)
    if Use.REQUEST in channel.uses:
        metrics.request_seconds.labels(channel.name)
    for kind in _PUBLISH_ERRORS[channel.direction]:
        metrics.publish_errors.labels(channel.name, kind.name)
    if channel.is_pattern and channel.direction is not Direction.INBOUND:  # sending to the pattern itself
        metrics.publish_errors.labels(channel.name, UNKNOWN_CHANNEL.name)

"""The metric series that exist from the start, at 0: Prometheus sees the first increase of a counter only then."""

from __future__ import annotations

from wsgw.access.seats import LIMITS, SCOPES
from wsgw.bridges.place import Coming
from wsgw.channels.channel import Channel, Direction, Payload, Use
from wsgw.channels.table import ChannelTable
from wsgw.errors import (
    AUTH_UNAVAILABLE,
    BAD_REQUEST,
    CLOSE_CODES,
    FORBIDDEN,
    KINDS,
    MAYBE_STORED,
    NATS_UNAVAILABLE,
    NO_RESPONDERS,
    NOT_STORED,
    OVERLOADED,
    RATE_LIMITED,
    SERVICE_ERROR,
    STREAM_FULL,
    TIMEOUT,
    TOO_LARGE,
    UNCONFIRMED,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    Kind,
)
from wsgw.metrics import Metrics
from wsgw.protocols.engineio.packets import REQUEST_ERRORS

#: The values of the label ``transport``: of those who stay connected, and of those who send.
CONNECTED = ("websocket", "socketio", "sse")
SENDING = ("websocket", "socketio", "http")

#: How clients come back to a durable channel.
RESULTS = tuple(coming.name.lower() for coming in (Coming.RECOVERED, Coming.GAP))

#: What became of a configuration that was read again.
RELOADS = ("success", "failure")

_SENDING = (WRONG_DIRECTION, FORBIDDEN, NATS_UNAVAILABLE, OVERLOADED, RATE_LIMITED, TOO_LARGE, UNCONFIRMED)
#: Why what clients send to a channel can fail.
_PUBLISH_ERRORS: dict[Direction, tuple[Kind, ...]] = {
    Direction.INBOUND: (WRONG_DIRECTION,),
    Direction.OUTBOUND: _SENDING,
    Direction.BOTH: _SENDING,
    Direction.REQUEST: (*_SENDING, NO_RESPONDERS, TIMEOUT, SERVICE_ERROR),
}
#: And where a stream is to hold it.
_STORE_ERRORS = (BAD_REQUEST, MAYBE_STORED, NOT_STORED, STREAM_FULL)


def make(metrics: Metrics, channels: ChannelTable) -> None:
    """Every series that is not rare."""
    for transport in CONNECTED:
        metrics.connections.labels(transport)
    for kind in KINDS:
        metrics.rejected.labels(kind.name)
    for refusal in REQUEST_ERRORS:
        metrics.rejected.labels(refusal.reason)
    for scope in SCOPES:
        for limit in LIMITS if scope != "session" else LIMITS[2:]:
            metrics.limited.labels(scope, limit)
    for scope in SCOPES[1:]:
        metrics.limited_names.labels(scope)
    for code in (*map(str, sorted(CLOSE_CODES)), "other"):
        metrics.closes.labels(code)
    for result in RELOADS:
        metrics.config_reloads.labels(result)
    for channel in channels:
        make_of(metrics, channel)
    metrics.publish_errors.labels("", UNKNOWN_CHANNEL.name)


def forget(metrics: Metrics, channel: Channel) -> None:
    """Of a channel that is no more what is read of its bridge; what was counted stays, as the channel may come back."""
    for metric in (
        metrics.subjects,
        metrics.subjects_limit,
        metrics.ring_messages,
        metrics.ring_bytes,
        metrics.stream_lag_messages,
    ):
        metric.remove(channel.name)


def make_of(metrics: Metrics, channel: Channel) -> None:
    """Those of one channel."""
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
    if Use.SUBSCRIBE in channel.uses and channel.payload is Payload.JSON:
        metrics.not_json_messages.labels(channel.name)
    if Use.SUBSCRIBE in channel.uses and channel.durable is not None:
        for result in RESULTS:
            metrics.resumes.labels(channel.name, result)
    if Use.PUBLISH in channel.uses:
        metrics.publish_seconds.labels(channel.name)
        for transport in SENDING:
            metrics.published_messages.labels(channel.name, transport)
    if Use.REQUEST in channel.uses:
        metrics.request_seconds.labels(channel.name)
    for kind in _PUBLISH_ERRORS[channel.direction]:
        metrics.publish_errors.labels(channel.name, kind.name)
    if channel.authorize is not None and channel.takes:
        metrics.publish_errors.labels(channel.name, AUTH_UNAVAILABLE.name)
    if channel.durable is not None and channel.accepts:
        for kind in _STORE_ERRORS:
            metrics.publish_errors.labels(channel.name, kind.name)
    if channel.hemera is not None and channel.takes:
        metrics.publish_errors.labels(channel.name, BAD_REQUEST.name)
    if channel.is_pattern and channel.direction is not Direction.INBOUND:  # sending to the pattern itself
        metrics.publish_errors.labels(channel.name, UNKNOWN_CHANNEL.name)

"""Where a name that clients send to leads: found once for all clients of a transport, so that a message costs little.

Nothing here says who may use it: that is asked by each session.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from wsgw.broker.broker import Broker
from wsgw.broker.fences import Outcome
from wsgw.channels.channel import Channel, Use
from wsgw.channels.table import ChannelTable, too_large, wrong_direction
from wsgw.errors import GatewayError
from wsgw.metrics import Metrics

#: Resolved names that are kept; more (of pattern channels) are resolved anew.
MAX_OUTLETS = 4096
#: Seconds; the loop's own clock has steps of a millisecond.
clock = time.monotonic


class Outlet:
    """One name: the channel it belongs to, its NATS subject, and what is counted of it."""

    __slots__ = ("_accepted", "_broker", "_errors", "_request_seconds", "_seconds", "channel", "name", "subject")

    def __init__(
        self, name: str, channel: Channel, subject: str, transport: str, broker: Broker, metrics: Metrics
    ) -> None:
        self.name = name
        self.channel = channel
        self.subject = subject
        self._broker = broker
        self._errors = metrics.publish_errors
        self._accepted = metrics.published_messages.labels(channel.name, transport) if channel.accepts else None
        self._seconds = metrics.publish_seconds.labels(channel.name) if channel.accepts else None
        self._request_seconds = metrics.request_seconds.labels(channel.name) if channel.answers else None

    @property
    def use(self) -> Use:
        """What clients do who send here: PUBLISH or REQUEST."""
        return Use.PUBLISH if self._seconds is not None else Use.REQUEST

    def require(self, use: Use, count: int = 1) -> None:
        """Raises GatewayError (wrong_direction), and counts ``count`` of it, where ``use`` is not what this is for."""
        if self.use is not use:
            raise self.failed(wrong_direction(self.name, self.channel, use), count)

    def check(self, payload: bytes) -> None:
        """Raises GatewayError (too_large), and counts it, when NATS would not take ``payload``."""
        most = self._broker.max_payload_bytes
        if len(payload) > most:
            raise self.failed(too_large(len(payload), most))

    def publish(self, payloads: Sequence[bytes], outcome: Outcome) -> None:
        """Publish ``payloads`` in order; ``outcome`` is told once for all of them (see ``Broker.publish``)."""
        started = clock()
        accepted, seconds = self._accepted, self._seconds
        assert accepted is not None
        assert seconds is not None

        def settled(error: GatewayError | None) -> None:
            if error is None:
                accepted.inc(len(payloads))
                seconds.observe(clock() - started)
            else:
                self.failed(error, len(payloads))
            outcome(error)

        self._broker.publish(self.subject, payloads, settled)

    async def request(self, payload: bytes) -> bytes:
        """The reply to a request; raises GatewayError, and counts it (see ``Broker.request``)."""
        started = clock()
        assert self._request_seconds is not None
        self.check(payload)
        try:
            reply = await self._broker.request(self.subject, payload, self.channel.timeout_seconds)
        except GatewayError as error:
            self.failed(error)
            raise
        self._request_seconds.observe(clock() - started)
        return reply

    def failed(self, error: GatewayError, count: int = 1) -> GatewayError:
        """Count ``error`` for ``count`` messages, and return it."""
        self._errors.labels(self.channel.name, error.kind.name).inc(count)
        return error


class Outlets:
    """The outlets by name and transport."""

    def __init__(self, channels: ChannelTable, broker: Broker, metrics: Metrics) -> None:
        self._channels = channels
        self._broker = broker
        self._metrics = metrics
        self._found: dict[tuple[str, str], Outlet] = {}

    def find(self, name: str, transport: str, use: Use = Use.PUBLISH, count: int = 1) -> Outlet:
        """Where ``name`` leads to for who wants to ``use`` it; raises GatewayError, and counts ``count`` of it.

        unknown_channel, or wrong_direction where nothing can be sent to it; it may be for the other of PUBLISH and
        REQUEST.
        """
        outlet = self._found.get((name, transport))
        if outlet is None:
            try:
                channel, subject = self._channels.find_to_send(name, use)
            except GatewayError as error:
                label = next((channel.name for channel in self._channels.meant_by(name)), "")
                self._metrics.publish_errors.labels(label, error.kind.name).inc(count)
                raise
            if len(self._found) >= MAX_OUTLETS:
                self._found.clear()
            outlet = Outlet(name, channel, subject, transport, self._broker, self._metrics)
            self._found[name, transport] = outlet
        return outlet

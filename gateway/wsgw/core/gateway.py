"""The gateway without its surfaces: channels, hub, broker and bridges, and what sessions ask of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from wsgw.bridges.base import Bridge, BridgeState
from wsgw.bridges.fixed import FixedBridge
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker.broker import Broker
from wsgw.broker.fences import Outcome
from wsgw.broker.subscription import Credentials
from wsgw.channels.channel import Channel, Direction
from wsgw.channels.table import ChannelTable, too_large
from wsgw.config.settings import Settings
from wsgw.core.outbound import Publisher
from wsgw.errors import (
    CLOSE_CODES,
    DRAINING,
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
    GatewayError,
    Kind,
)
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.metrics import Metrics

log = logging.getLogger("wsgw.gateway")

T = TypeVar("T")

LAG_INTERVAL_SECONDS = 0.25
#: Resolved names that are kept; more (of pattern channels) are resolved anew.
MAX_PUBLISHERS = 4096
#: The share of ``drain_seconds`` in which publications that wait are handed to clients before these are closed.
FLUSH_SHARE = 0.25
#: What a disconnection from a NATS that does not answer takes, beside the wait for confirmations.
BROKER_CLOSE_SECONDS = 1.0
_SENDING = (WRONG_DIRECTION, FORBIDDEN, NATS_UNAVAILABLE, OVERLOADED, TOO_LARGE, UNCONFIRMED)
#: Why what clients send to a channel can fail.
_PUBLISH_ERRORS: dict[Direction, tuple[Kind, ...]] = {
    Direction.INBOUND: (WRONG_DIRECTION,),
    Direction.OUTBOUND: _SENDING,
    Direction.BOTH: _SENDING,
    Direction.REQUEST: (*_SENDING, NO_RESPONDERS, TIMEOUT),
}


class Drainable(Protocol):
    """A connected client, as a stop sees it."""

    def drain(self) -> None:
        """Send what waits and close with 1001, without waiting for the client."""

    def abort(self) -> None:
        """Drop the connection."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether traffic should come here, and why not: ``nats`` and the bridges that are not subscribed, by channel."""

    ready: bool
    nats: str
    bridges: dict[str, str]
    draining: bool


class Gateway:
    """One process' gateway. Everything happens on the event loop it is started on."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.metrics = metrics
        self.channels = ChannelTable(settings.channel_table())
        self.totals = OutboxTotals()
        self.broker = make_broker(settings, metrics)
        self.hub = Hub(metrics, self.broker.turn, time.monotonic, self.broker)
        self._bridges = {channel.name: self._bridge(channel) for channel in self.channels.inbound()}
        self._publishers: dict[tuple[str, str], Publisher] = {}
        self._clients: set[Drainable] = set()
        self._clients_gone = asyncio.Event()
        self._lag_task: asyncio.Task[None] | None = None
        self.draining = False
        self._drain_until = 0.0
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._clock = time.monotonic  # the loop's has steps of a millisecond
        self._make_series()

    # -- life

    async def start(self) -> None:
        """Start connecting and bridging; returns at once."""
        await self.broker.start()
        for bridge in self._bridges.values():
            bridge.start()
        self._lag_task = asyncio.get_running_loop().create_task(self._measure_lag())

    def begin_drain(self) -> None:
        """Take no new clients, and hand the last publications to those there are: ``drain_seconds`` begin to run."""
        if not self.draining:
            self.draining = True
            self._drain_until = self._clock() + self.settings.drain_seconds
        self.hub.flush(FLUSH_SHARE * self.settings.drain_seconds)

    def seconds_left(self, share: float = 1.0) -> float:
        """What is left of the first ``share`` (up to 1) of the ``drain_seconds`` that ``begin_drain`` started."""
        return max(0.0, self._drain_until - (1 - share) * self.settings.drain_seconds - self._clock())

    async def drain(self, timeout_seconds: float) -> None:
        """Close every client with 1001, and drop those that are not gone after ``timeout_seconds``."""
        self.begin_drain()
        for client in list(self._clients):
            client.drain()
        if self._clients:
            self._clients_gone.clear()
            try:
                await asyncio.wait_for(self._clients_gone.wait(), timeout_seconds)
            except TimeoutError:
                log.warning("%d clients did not finish the closing handshake in time", len(self._clients))
                for client in list(self._clients):
                    client.abort()

    def give_up(self) -> None:
        """End what ``unless_stopped`` waits for."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def stop(self, timeout_seconds: float) -> None:
        """End bridges and the connection to NATS, after what clients published is confirmed.

        That takes at most ``timeout_seconds``, and not more than what is left of ``drain_seconds``; where NATS does
        not answer and little is left, up to BROKER_CLOSE_SECONDS more.
        """
        log.info("nats: Shutting down")
        self.begin_drain()
        if self._lag_task is not None:
            self._lag_task.cancel()
        for bridge in self._bridges.values():
            await bridge.stop()
        left = min(timeout_seconds, self.seconds_left())
        await self.broker.stop(max(left - BROKER_CLOSE_SECONDS, left / 2))

    def readiness(self) -> Readiness:
        """What ``/readyz`` tells."""
        bridges = {
            name: f"{bridge.state}: {bridge.reason}"
            for name, bridge in self._bridges.items()
            if bridge.state is not BridgeState.SUBSCRIBED
        }
        nats = "connected" if self.broker.connected else "not connected"
        ready = self.broker.connected and not bridges and not self.draining
        return Readiness(ready, nats, bridges, self.draining)

    # -- clients

    def admit(self) -> None:
        """Raises GatewayError (draining) when new clients are not taken any more."""
        if self.draining:
            raise GatewayError(DRAINING, "the gateway is stopping")

    def connected(self, client: Drainable, transport: str) -> None:
        """A client is there."""
        self._clients.add(client)
        self.metrics.connections.labels(transport).inc()

    def disconnected(self, client: Drainable, transport: str, code_label: str) -> None:
        """It is gone; ``code_label`` is its close code as ``wsgw_closes_total`` counts it."""
        if client in self._clients:
            self._clients.discard(client)
            self.metrics.connections.labels(transport).dec()
            self.metrics.closes.labels(code_label).inc()
        if not self._clients:
            self._clients_gone.set()

    # -- messages

    def bridge_of(self, name: str) -> tuple[Channel, Bridge]:
        """The channel to subscribe to under ``name``, and its bridge; raises GatewayError."""
        channel = self.channels.to_subscribe(name)
        return channel, self._bridges[channel.name]

    def publish(self, name: str, payload: bytes, transport: str, outcome: Outcome) -> None:
        """Publish a client's message; ``outcome`` is told once, at once when it is refused here."""
        try:
            publisher = self.publisher(name, transport)
        except GatewayError as error:
            outcome(error)
        else:
            publisher.publish((payload,), outcome)

    def answers(self, name: str, transport: str) -> bool:
        """Whether ``name`` is, or matches, a request channel; quick for names that ``transport`` publishes to."""
        if (name, transport) in self._publishers:
            return False
        try:
            channel, _ = self.channels.to_send(name)
        except GatewayError:
            return False
        return channel.answers

    def publisher(self, name: str, transport: str) -> Publisher:
        """Who publishes to ``name`` for clients of ``transport``; raises GatewayError, and counts it."""
        publisher = self._publishers.get((name, transport))
        if publisher is None:
            try:
                channel, subject = self.channels.to_publish(name)
            except GatewayError as error:
                self._count_error(self._label(name), error)
                raise
            if len(self._publishers) >= MAX_PUBLISHERS:
                self._publishers.clear()
            publisher = Publisher(channel, subject, transport, self.broker, self.metrics, self._clock)
            self._publishers[name, transport] = publisher
        return publisher

    async def request(self, name: str, payload: bytes) -> bytes:
        """The reply to a client's request; raises GatewayError."""
        started = self._clock()
        label = self._label(name)
        try:
            channel, subject = self.channels.to_ask(name)
            label = channel.name
            if len(payload) > self.broker.max_payload_bytes:
                raise too_large(len(payload), self.broker.max_payload_bytes)
            reply = await self.broker.request(subject, payload, channel.timeout_seconds)
        except GatewayError as error:
            self._count_error(label, error)
            raise
        self.metrics.request_seconds.labels(label).observe(self._clock() - started)
        return reply

    async def unless_stopped(self, answer: asyncio.Future[T]) -> T:
        """The result of ``answer``; raises GatewayError (unconfirmed) when the gateway stops before."""
        either: set[asyncio.Future[Any]] = {answer, self._stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        raise GatewayError(UNCONFIRMED, "the gateway is stopping: unknown whether accepted")

    # -- inside

    def _bridge(self, channel: Channel) -> Bridge:
        if channel.is_pattern:
            return PatternBridge(channel, self.broker, self.hub, self.settings.max_subjects)
        return FixedBridge(channel, self.broker, self.hub)

    def _label(self, name: str) -> str:
        """The configured name to count ``name`` under, empty where there is none."""
        return next((channel.name for channel in self.channels.meant_by(name)), "")

    def _count_error(self, label: str, error: GatewayError) -> None:
        self.metrics.publish_errors.labels(label, error.kind.name).inc()

    def _make_series(self) -> None:
        """Every series that is not rare, at 0: Prometheus sees the first increase of a counter only then."""
        metrics, totals = self.metrics, self.totals
        metrics.outbox_messages.set_function(lambda: totals.messages)
        metrics.outbox_bytes.set_function(lambda: totals.bytes)
        for transport in ("websocket", "socketio"):
            metrics.connections.labels(transport)
        for kind in KINDS:
            metrics.rejected.labels(kind.name)
        for code in (*map(str, sorted(CLOSE_CODES)), "other"):
            metrics.closes.labels(code)
        for channel in self.channels:
            if channel.delivers:
                self._make_inbound_series(channel)
            if channel.accepts:
                metrics.publish_seconds.labels(channel.name)
                for transport in ("websocket", "socketio", "http"):
                    metrics.published_messages.labels(channel.name, transport)
            if channel.direction is Direction.REQUEST:
                metrics.request_seconds.labels(channel.name)
            for kind in _PUBLISH_ERRORS[channel.direction]:
                metrics.publish_errors.labels(channel.name, kind.name)
            if channel.is_pattern and channel.direction is not Direction.INBOUND:  # sending to the pattern itself
                metrics.publish_errors.labels(channel.name, UNKNOWN_CHANNEL.name)
        metrics.publish_errors.labels("", UNKNOWN_CHANNEL.name)

    def _make_inbound_series(self, channel: Channel) -> None:
        metrics = self.metrics
        for metric in (
            metrics.subscriptions,
            metrics.nats_messages,
            metrics.delivered_bytes,
            metrics.gaps,
            metrics.delivery_latency_seconds,
        ):
            metric.labels(channel.name)
        metrics.dropped_messages.labels(channel.name, channel.slow_consumer)
        for transport in ("websocket", "socketio"):
            metrics.deliveries.labels(channel.name, transport)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.metrics.event_loop_lag_seconds.set(max(0.0, loop.time() - due))


def make_broker(settings: Settings, metrics: Metrics) -> Broker:
    """The broker that ``settings`` describe, not started."""
    nats = settings.nats
    password = nats.password.get_secret_value() if nats.password else None
    token = nats.token.get_secret_value() if nats.token else None
    return Broker(nats.servers, metrics, Credentials(nats.user, password, token))

"""The gateway without its surfaces: channels, rules, hub, broker and bridges. Surfaces come in by sessions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from wsgw.access.principal import Principal
from wsgw.access.rules import AllowAll, Rules
from wsgw.bridges.base import Bridge, BridgeState
from wsgw.bridges.fixed import FixedBridge
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker.broker import Broker
from wsgw.broker.subscription import Credentials
from wsgw.channels.channel import Channel
from wsgw.channels.table import ChannelTable
from wsgw.config.settings import Settings
from wsgw.core import series
from wsgw.core.drain import Drain
from wsgw.core.outbound import Outlets
from wsgw.core.session import Session, SessionClient
from wsgw.errors import GatewayError
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Wire
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics
from wsgw.tasks import end

log = logging.getLogger("wsgw.gateway")

T = TypeVar("T")

LAG_INTERVAL_SECONDS = 0.25
#: What a disconnection from a NATS that does not answer takes, beside the wait for confirmations.
BROKER_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether traffic should come here, and why not: ``nats`` and the bridges that are not subscribed, by channel."""

    ready: bool
    nats: str
    bridges: dict[str, str]
    draining: bool


class Gateway:
    """One process' gateway. Everything happens on the event loop it is started on."""

    def __init__(self, settings: Settings, metrics: Metrics, rules: Rules | None = None) -> None:
        self.settings = settings
        self.metrics = metrics
        self.rules: Rules = rules or AllowAll()
        self.channels = ChannelTable(settings.channel_table())
        self.broker = make_broker(settings, metrics)
        self.hub = Hub(metrics, self.broker.turn, time.monotonic, self.broker)
        self.outlets = Outlets(self.channels, self.broker, metrics)
        self.drain = Drain(settings.drain_seconds, self.hub.flush, time.monotonic)
        self.totals = OutboxTotals()
        self._bridges = {channel.name: self._bridge(channel) for channel in self.channels.inbound()}
        self._lag_task: asyncio.Task[None] | None = None
        self.connected = dict.fromkeys(series.CONNECTED, 0)
        for transport in series.CONNECTED:
            metrics.connections.labels(transport).set_function(partial(self.connected.__getitem__, transport))
        metrics.outbox_messages.set_function(lambda: self.totals.messages)
        metrics.outbox_bytes.set_function(lambda: self.totals.bytes)
        series.make(metrics, self.channels)

    # -- life

    async def start(self) -> None:
        """Start connecting and bridging; returns at once."""
        await self.broker.start()
        for bridge in self._bridges.values():
            bridge.start()
        self._lag_task = asyncio.get_running_loop().create_task(self._measure_lag(), name="measuring the loop's lag")

    async def stop(self, timeout_seconds: float) -> None:
        """End bridges and the connection to NATS, after what clients published is confirmed.

        That takes at most ``timeout_seconds``, and not more than what is left of ``drain_seconds``; where NATS does
        not answer and little is left, up to BROKER_CLOSE_SECONDS more.
        """
        log.info("nats: Shutting down")
        self.drain.begin()
        if self._lag_task is not None:
            await end(self._lag_task)
        for bridge in self._bridges.values():
            await bridge.stop()
        left = min(timeout_seconds, self.drain.seconds_left())
        await self.broker.stop(max(left - BROKER_CLOSE_SECONDS, left / 2))

    def readiness(self) -> Readiness:
        """What ``/readyz`` tells."""
        bridges = {
            name: f"{bridge.state}: {bridge.reason}"
            for name, bridge in self._bridges.items()
            if bridge.state is not BridgeState.SUBSCRIBED
        }
        nats = "connected" if self.broker.connected else "not connected"
        ready = self.broker.connected and not bridges and not self.drain.begun
        return Readiness(ready, nats, bridges, self.drain.begun)

    # -- for surfaces

    def open_session(
        self, principal: Principal, client: SessionClient | None = None, sender: Sender | None = None
    ) -> Session:
        """A session for a client that comes now; raises GatewayError (draining, or the rules'), counted as rejected.

        See ``Session`` for ``client`` and ``sender``.
        """
        try:
            self.drain.check()
            self.rules.admit(principal)
        except GatewayError as error:
            self.rejected(error.kind.name)
            raise
        return Session(self, principal, client, sender)

    def sender(self, wire: Wire, overflowed: Callable[[], None]) -> Sender:
        """The sending half of a connection; see ``Sender``."""
        return Sender(wire, self.totals, overflowed)

    def rejected(self, reason: str) -> None:
        """Count a connection or request that was refused before there was a session."""
        self.metrics.rejected.labels(reason).inc()

    async def unless_stopped(self, answer: asyncio.Future[T]) -> T:
        """The result of ``answer``; raises GatewayError (unconfirmed) when the gateway stops before."""
        return await self.drain.unless_over(answer)

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that NATS takes now."""
        return self.broker.max_payload_bytes

    def bridge_of(self, channel: Channel) -> Bridge:
        """The bridge of a channel that delivers."""
        return self._bridges[channel.name]

    # -- inside

    def _bridge(self, channel: Channel) -> Bridge:
        if channel.is_pattern:
            return PatternBridge(channel, self.broker, self.hub, self.settings.subjects_limit)
        return FixedBridge(channel, self.broker, self.hub)

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

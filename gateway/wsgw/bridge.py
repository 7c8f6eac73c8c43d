"""The task that owns the NATS side of one inbound channel with a fixed name."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from enum import StrEnum

from wsgw.broker.broker import Broker
from wsgw.broker.subscription import Subscription
from wsgw.channels import Channel
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.hub import Hub
from wsgw.publication import Publication

log = logging.getLogger("wsgw.bridge")

BACKOFF_SECONDS = (0.1, 10.0)

#: Told when NATS refuses the subject a session is subscribed to.
Refusal = Callable[[GatewayError], None]


class BridgeState(StrEnum):
    """``starting`` while NATS is away, ``failed`` when NATS refuses the subject or something unforeseen happened."""

    STARTING = "starting"
    SUBSCRIBED = "subscribed"
    FAILED = "failed"


class Bridge:
    """Subscribes to the channel's subject, for ever: again after a loss, with back-off after a refusal or a fault."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub) -> None:
        self.channel = channel
        self.state = BridgeState.STARTING
        self.reason = "waiting for NATS"
        self._broker = broker
        self._hub = hub
        self._received = 0  # publications not reported yet: a Counter costs more than all else here does
        hub.metrics.on_read.append(self._report)
        self._gaps = hub.metrics.gaps.labels(channel.name)
        self._task: asyncio.Task[None] | None = None
        self._delay = BACKOFF_SECONDS[0]
        self._was_subscribed = False

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"bridge {self.channel.name}")

    async def stop(self) -> None:
        """End the task; the broker's connection ends the subscription."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def join(self, name: str, refused: Refusal) -> asyncio.Future[None] | None:
        """A session subscribes; nothing to wait for: the subscription is always wanted."""
        return None

    def leave(self, name: str, refused: Refusal) -> None:
        """A session's subscription ends."""

    # -- inside

    async def _run(self) -> None:
        while True:
            try:
                error = await self._serve()
            except Exception as fault:  # whatever it is, it must not end the bridge
                error = fault
            await self._failed(error)

    async def _serve(self) -> Exception:
        """Subscribe once there is a connection; returns, or raises, why that is over: a GatewayError or a fault."""
        await self._broker.wait_connected()
        subscription = await self._subscribe(self.channel.subject, self._deliver)
        if self._was_subscribed:
            self._gaps.inc()
        self._was_subscribed = True
        self._reset_delay()
        self._subscribed()
        error = await asyncio.shield(subscription.ended)
        await self._broker.unsubscribe(subscription)
        return error

    async def _subscribe(self, subject: str, deliver: Callable[[Publication], None]) -> Subscription:
        return await self._broker.subscribe(subject, deliver)

    def _deliver(self, publication: Publication) -> None:
        self._received += 1
        self._hub.publish(self.channel.name, publication)

    def _report(self) -> None:
        received, self._received = self._received, 0
        self._hub.metrics.nats_messages.labels(self.channel.name).inc(received)

    def _reset_delay(self) -> None:
        self._delay = BACKOFF_SECONDS[0]

    def _subscribed(self) -> None:
        if self.state is not BridgeState.SUBSCRIBED:
            log.debug("bridge %s: subscribed to %s", self.channel.name, self.channel.subject)
        self.state, self.reason = BridgeState.SUBSCRIBED, ""

    async def _failed(self, error: Exception) -> None:
        """Note why, and wait before the next try."""
        if isinstance(error, GatewayError) and error.kind is NATS_UNAVAILABLE:
            self.state, self.reason = BridgeState.STARTING, "waiting for NATS"
        else:
            self._note_failure(error)
        await asyncio.sleep(self._delay * random.uniform(0.5, 1.0))
        self._delay = min(self._delay * 2, BACKOFF_SECONDS[1])

    def _note_failure(self, error: Exception) -> None:
        trace: Exception | None = error
        reason = f"a fault: {error!r}"
        if isinstance(error, GatewayError):
            reason, trace = error.message, None
        if (self.state, self.reason) != (BridgeState.FAILED, reason):
            self.state, self.reason = BridgeState.FAILED, reason
            about = self.channel.name, self.channel.subject, reason
            log.error("bridge %s failed, subject %s: %s", *about, exc_info=trace)

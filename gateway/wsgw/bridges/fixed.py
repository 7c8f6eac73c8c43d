"""The NATS side of an inbound channel with a fixed name: one subscription, always wanted."""

from __future__ import annotations

import asyncio

from wsgw.bridges.base import STEADY_SECONDS, KeptBridge
from wsgw.bridges.lost import Lost
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication


class FixedBridge(KeptBridge):
    """Implements ``Bridge``."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub) -> None:
        super().__init__(channel, hub.metrics)
        self._broker = broker
        self._hub = hub
        self._was_subscribed = False
        self._lost = Lost(hub, broker)
        if broker.connected:
            self._lost.add_new((channel.name,))
        else:
            self._lose(alone=False)

    # -- inside

    async def _serve(self) -> Exception:
        """Subscribe once there is a connection; see ``Keeper``."""
        await self._broker.wait_connected()
        await self._lost.settle()
        try:
            subscription = await self._broker.subscribe(self.channel.subject, self._deliver)
        except GatewayError as refusal:
            self._lose(alone=refusal.kind is not NATS_UNAVAILABLE)
            raise
        try:
            self._lost.tell()
            if self._was_subscribed:
                self._gaps.inc()
            self._was_subscribed = True
            self._keeper.subscribed()
            await asyncio.wait({subscription.ended}, timeout=STEADY_SECONDS)
            if not subscription.ended.done():
                self._keeper.backoff.reset()
            error = await asyncio.shield(subscription.ended)
            if error.kind is NATS_UNAVAILABLE:  # the broker's back-off is enough
                self._keeper.backoff.reset()
        finally:  # also when the channel is no more
            self._broker.unsubscribe(subscription)
        self._lose(alone=error.kind is not NATS_UNAVAILABLE)
        return error

    def _lose(self, *, alone: bool) -> None:
        self._lost.add((self.channel.name,), alone=alone)

    def _deliver(self, publication: Publication) -> None:
        if self._lost.names:  # it came before the proof that NATS has taken the subscription
            self._lost.tell()
        self._keeper.received += 1
        self._hub.publish(self.channel.name, publication)

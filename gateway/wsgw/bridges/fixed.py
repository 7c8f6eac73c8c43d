"""The NATS side of an inbound channel with a fixed name: one subscription, always wanted."""

from __future__ import annotations

import asyncio

from wsgw.bridges.base import STEADY_SECONDS, KeptBridge
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.errors import NATS_UNAVAILABLE
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication


class FixedBridge(KeptBridge):
    """Implements ``Bridge``."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub) -> None:
        super().__init__(channel, hub.metrics)
        self._broker = broker
        self._hub = hub
        self._was_subscribed = False

    # -- inside

    async def _serve(self) -> Exception:
        """Subscribe once there is a connection; see ``Keeper``."""
        await self._broker.wait_connected()
        subscription = await self._broker.subscribe(self.channel.subject, self._deliver)
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
        self._broker.unsubscribe(subscription)
        return error

    def _deliver(self, publication: Publication) -> None:
        self._keeper.received += 1
        self._hub.publish(self.channel.name, publication)

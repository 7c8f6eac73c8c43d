"""The NATS side of an inbound channel with a fixed name: one subscription, always wanted."""

from __future__ import annotations

import asyncio

from wsgw.bridges.base import BridgeState, Keeper, OnRefused
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication


class FixedBridge:
    """Implements ``Bridge``."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub) -> None:
        self.channel = channel
        self._broker = broker
        self._hub = hub
        self._gaps = hub.metrics.gaps.labels(channel.name)
        self._was_subscribed = False
        self._keeper = Keeper(channel, hub.metrics, self._serve)

    @property
    def state(self) -> BridgeState:
        return self._keeper.state

    @property
    def reason(self) -> str:
        return self._keeper.reason

    def start(self) -> None:
        self._keeper.start()

    async def stop(self) -> None:
        await self._keeper.stop()

    def join(self, name: str, refused: OnRefused) -> asyncio.Future[None] | None:
        """Nothing to wait for."""
        return None

    def leave(self, name: str, refused: OnRefused) -> None:
        """Nothing to do."""

    # -- inside

    async def _serve(self) -> Exception:
        """Subscribe once there is a connection; see ``Keeper``."""
        await self._broker.wait_connected()
        subscription = await self._broker.subscribe(self.channel.subject, self._deliver)
        if self._was_subscribed:
            self._gaps.inc()
        self._was_subscribed = True
        self._keeper.backoff.reset()
        self._keeper.subscribed()
        error = await asyncio.shield(subscription.ended)
        self._broker.unsubscribe(subscription)
        return error

    def _deliver(self, publication: Publication) -> None:
        self._keeper.received += 1
        self._hub.publish(self.channel.name, publication)

"""A session: one connected client's subscriptions and its sending half, whatever transport it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wsgw.bridges.base import Bridge
from wsgw.channels.channel import Channel
from wsgw.core.gateway import Drainable, Gateway
from wsgw.errors import CLOSE_CODES, GatewayError
from wsgw.fanout.publication import Wire
from wsgw.fanout.sender import Sender


class _Subscription:
    __slots__ = ("bridge", "channel", "listening", "refused")

    def __init__(self, channel: Channel, bridge: Bridge, refused: Callable[[GatewayError], None]) -> None:
        self.channel = channel
        self.bridge = bridge
        self.refused = refused
        self.listening = False


class Session:
    """``client`` is closed by the gateway's drain; ``refused`` is called when NATS takes a subscription back.

    Life: construct, ``join`` names, ``listen`` and ``open`` when the client can take them, ``end`` once. The sender is
    the transport's to close.
    """

    __slots__ = ("_gateway", "_refused", "_subscriptions", "_wire", "sender")

    def __init__(
        self, gateway: Gateway, wire: Wire, refused: Callable[[str, GatewayError], None], sender: Sender
    ) -> None:
        self._gateway = gateway
        self._wire = wire
        self._refused = refused
        self._subscriptions: dict[str, _Subscription] = {}
        self.sender = sender

    @property
    def names(self) -> tuple[str, ...]:
        """What the session is subscribed to."""
        return tuple(self._subscriptions)

    def join(self, name: str) -> asyncio.Future[None] | None:
        """Take NATS' interest in a channel, or a concrete name of a pattern; nothing happens when it is taken already.

        What is returned, if anything, is to be awaited: then the interest is in effect. Raises GatewayError.
        """
        if name in self._subscriptions:
            return None
        channel, bridge = self._gateway.bridge_of(name)

        def refused(error: GatewayError) -> None:
            self.unsubscribe(name)
            self._refused(name, error)

        ready = bridge.join(name, refused)
        self._subscriptions[name] = _Subscription(channel, bridge, refused)
        return ready

    def listen(self) -> None:
        """From now on the sender gets what comes for every name joined."""
        for name, subscription in self._subscriptions.items():
            if not subscription.listening:
                subscription.listening = True
                self._gateway.hub.subscribe(subscription.channel, name, self._wire, self.sender)

    def unsubscribe(self, name: str) -> bool:
        """Undo ``join`` and ``listen``; False when there is none of that name."""
        found = self._subscriptions.pop(name, None)
        if found is None:
            return False
        if found.listening:
            self._gateway.hub.unsubscribe(name, self._wire, self.sender)
        found.bridge.leave(name, found.refused)
        return True

    def open(self, client: Drainable) -> None:
        """Count the client as connected."""
        self._gateway.connected(client, self._wire.transport)

    def end(self, client: Drainable, code: int) -> None:
        """The client is gone, by close code ``code``; harmless when called again."""
        for name in self.names:
            self.unsubscribe(name)
        self._gateway.disconnected(client, self._wire.transport, str(code) if code in CLOSE_CODES else "other")

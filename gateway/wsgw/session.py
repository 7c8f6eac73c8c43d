"""A session: one connected client's subscriptions and its sending half, whatever transport it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wsgw.bridge import Bridge
from wsgw.errors import CLOSE_CODES, GatewayError
from wsgw.gateway import Drainable, Gateway
from wsgw.publication import Wire
from wsgw.sender import Sender


class Session:
    """``client`` is closed by the gateway's drain; ``refused`` is called when NATS takes a subscription back.

    Life: construct, ``open`` when the client is there, ``subscribe`` and ``unsubscribe`` at will, ``end`` once.
    """

    __slots__ = ("_gateway", "_refused", "_subscriptions", "_wire", "sender")

    def __init__(
        self, gateway: Gateway, wire: Wire, refused: Callable[[str, GatewayError], None], sender: Sender
    ) -> None:
        self._gateway = gateway
        self._wire = wire
        self._refused = refused
        self._subscriptions: dict[str, tuple[Bridge, Callable[[GatewayError], None]]] = {}
        self.sender = sender

    @property
    def names(self) -> tuple[str, ...]:
        """What the session is subscribed to."""
        return tuple(self._subscriptions)

    def subscribe(self, name: str) -> asyncio.Future[None] | None:
        """Subscribe to a channel or a concrete name of a pattern; nothing happens when it is already.

        What is returned, if anything, is to be awaited: then NATS' interest is in effect. Raises GatewayError.
        """
        if name in self._subscriptions:
            return None
        channel, bridge = self._gateway.bridge_of(name)

        def refused(error: GatewayError) -> None:
            self.unsubscribe(name)
            self._refused(name, error)

        ready = bridge.join(name, refused)
        self._subscriptions[name] = (bridge, refused)
        self._gateway.hub.subscribe(channel, name, self._wire, self.sender)
        return ready

    def unsubscribe(self, name: str) -> bool:
        """End a subscription; False when there is none of that name."""
        found = self._subscriptions.pop(name, None)
        if found is None:
            return False
        bridge, refused = found
        self._gateway.hub.unsubscribe(name, self._wire, self.sender)
        bridge.leave(name, refused)
        return True

    def open(self, client: Drainable) -> None:
        """Count the client as connected."""
        self._gateway.connected(client, self._wire.transport)

    def end(self, client: Drainable, code: int) -> None:
        """The client is gone, by close code ``code``; harmless when called again."""
        self.sender.close()
        for name in self.names:
            self.unsubscribe(name)
        self._gateway.disconnected(client, self._wire.transport, str(code) if code in CLOSE_CODES else "other")

"""A session: one connected client, and the only door between it and channels, NATS, rights and metrics.

Every protocol comes through here: what a client may do, how much of it waits, and what is counted is decided once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from wsgw.access.principal import Principal
from wsgw.access.rules import Rules
from wsgw.bridges.base import Bridge
from wsgw.broker.broker import Broker
from wsgw.broker.fences import Outcome
from wsgw.channels.channel import Channel, Use
from wsgw.channels.table import ChannelTable, wrong_direction
from wsgw.core.backpressure import BackPressure
from wsgw.core.drain import Drain
from wsgw.core.outbound import Outlet, Outlets
from wsgw.errors import CLOSE_CODES, FORBIDDEN, GatewayError
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Batch
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics

log = logging.getLogger("wsgw.session")

T = TypeVar("T")


class SessionClient(Protocol):
    """The surface's side of a session. No call may raise or block."""

    def drain(self) -> None:
        """The gateway stops: send what waits and close with 1001, without waiting for the client."""

    def abort(self) -> None:
        """Drop the connection."""

    def hold(self) -> None:
        """Take nothing more from the client until ``release``: too much of what was published waits for NATS."""

    def release(self) -> None:
        """Undo ``hold``."""

    def refused(self, name: str, error: GatewayError) -> None:
        """NATS refuses ``name``, which is being joined or was; the subscription has ended."""


class House(Protocol):
    """What a session needs of the gateway."""

    channels: ChannelTable
    rules: Rules
    broker: Broker
    hub: Hub
    outlets: Outlets
    drain: Drain
    metrics: Metrics
    #: how many are connected, by transport
    connected: dict[str, int]

    def bridge_of(self, channel: Channel) -> Bridge:
        """The bridge of a channel that delivers."""


class _Subscription:
    __slots__ = ("bridge", "channel", "listening", "refused")

    def __init__(self, channel: Channel, bridge: Bridge, refused: Callable[[GatewayError], None]) -> None:
        self.channel = channel
        self.bridge = bridge
        self.refused = refused
        self.listening = False


class Session:
    """``sender`` writes to the client; without one (a request that comes alone) nothing can be subscribed to.

    Life: made by ``Gateway.open_session``, ``join`` names, ``listen`` and ``open`` when the client can take them,
    ``end`` once. The sender is the transport's to close.
    """

    __slots__ = (
        "_client",
        "_ended",
        "_house",
        "_outlet",
        "_pressure",
        "_slow",
        "_subscriptions",
        "principal",
        "sender",
    )

    def __init__(self, house: House, principal: Principal, client: SessionClient | None, sender: Sender | None) -> None:
        self._house = house
        self._client = client
        self._subscriptions: dict[str, _Subscription] = {}
        self._outlet: Outlet | None = None  # of the name sent to last
        self._pressure: BackPressure | None = None
        self._slow = False
        self._ended = False
        self.principal = principal
        self.sender = sender
        if sender is not None:
            sender.session = self

    # -- receiving

    @property
    def names(self) -> tuple[str, ...]:
        """What the session is subscribed to."""
        return tuple(self._subscriptions)

    def inbound(self) -> list[str]:
        """What a client that asks for nothing gets: every channel that it may subscribe to, by name."""
        channels = self._house.channels.inbound()
        return [channel.name for channel in channels if self._allows(Use.SUBSCRIBE, channel, channel.name)]

    def join(self, name: str) -> asyncio.Future[None] | None:
        """Take NATS' interest in a channel, or a concrete name of a pattern; nothing happens when it is taken already.

        What is returned, if anything, is to be awaited: then the interest is in effect. Raises GatewayError.
        """
        if self._ended or name in self._subscriptions:
            return None
        channel = self._house.channels.find(name, Use.SUBSCRIBE)
        self._check(Use.SUBSCRIBE, channel, name)
        bridge = self._house.bridge_of(channel)

        def refused(error: GatewayError) -> None:
            self.unsubscribe(name)
            if self._client is not None:
                self._client.refused(name, error)

        ready = bridge.join(name, refused)
        self._subscriptions[name] = _Subscription(channel, bridge, refused)
        return ready

    def listen(self) -> None:
        """From now on the sender gets what comes for every name joined."""
        assert self.sender is not None
        for name, subscription in self._subscriptions.items():
            if not subscription.listening:
                subscription.listening = True
                self._house.hub.subscribe(subscription.channel, name, self.sender)

    def unsubscribe(self, name: str) -> bool:
        """Undo ``join`` and ``listen``; False when there is none of that name."""
        found = self._subscriptions.pop(name, None)
        if found is None:
            return False
        if found.listening:
            assert self.sender is not None
            self._house.hub.unsubscribe(name, self.sender)
        found.bridge.leave(name, found.refused)
        return True

    def dropped(self, batch: Batch, count: int) -> None:
        """The client is slow (see ``SlowClient``); counted where it was dropped."""
        if not self._slow:
            self._slow = True
            log.debug("%s: a slow client, publications of %s are dropped", self.principal, batch.name)

    # -- sending

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that NATS takes now."""
        return self._house.broker.max_payload_bytes

    @property
    def unsettled(self) -> int:
        """Messages of the client whose outcome is not known yet."""
        return 0 if self._pressure is None else self._pressure.messages

    def why_not_publish(self, name: str) -> GatewayError | None:
        """Why messages to ``name`` would be refused, whatever they are; None where they would not. Counts nothing."""
        try:
            channel, _ = self._house.channels.find_to_send(name, Use.PUBLISH)
            if not channel.accepts:
                raise wrong_direction(name, channel, Use.PUBLISH)
            self._check(Use.PUBLISH, channel, name)
        except GatewayError as error:
            return error
        return None

    def outlet(self, name: str, use: Use = Use.PUBLISH, count: int = 1) -> Outlet:
        """Where ``name`` leads to for who wants to ``use`` it; raises GatewayError, and counts ``count`` of it.

        It may be for the other of PUBLISH and REQUEST.
        """
        outlet = self._outlet
        if outlet is None or outlet.name != name:
            outlet = self._house.outlets.find(name, self.principal.transport, use, count)
            if not self._allows(outlet.use, outlet.channel, name):
                raise outlet.failed(_forbidden(outlet.use, name), count)
            self._outlet = outlet
        return outlet

    def publish(self, name: str, payloads: Sequence[bytes], outcome: Outcome) -> None:
        """Publish ``payloads`` to ``name``, in order of calls; ``outcome`` is told once for all of them.

        It is told at once when they are refused here; otherwise see ``Broker.publish``. A client that has too much on
        its way is held.
        """
        outlet = self._outlet
        if outlet is None or outlet.name != name or outlet.use is not Use.PUBLISH:
            try:
                outlet = self.outlet(name, Use.PUBLISH, len(payloads))
                outlet.require(Use.PUBLISH, len(payloads))
            except GatewayError as error:
                outcome(error)
                return
        client = self._client
        if client is None:
            outlet.publish(payloads, outcome)
            return
        pressure = self._pressure
        if pressure is None:
            pressure = self._pressure = BackPressure(self._house.broker, client.hold, client.release)
        count, size = len(payloads), sum([len(payload) for payload in payloads])
        pressure.sent(count, size)

        def settled(error: GatewayError | None) -> None:
            pressure.settled(count, size)
            outcome(error)

        outlet.publish(payloads, settled)
        pressure.check()

    async def request(self, name: str, payload: bytes) -> bytes:
        """The reply to a request; raises GatewayError."""
        outlet = self.outlet(name, Use.REQUEST)
        outlet.require(Use.REQUEST)
        return await outlet.request(payload)

    @property
    def draining(self) -> bool:
        """Whether the gateway is stopping."""
        return self._house.drain.begun

    async def unless_stopped(self, answer: asyncio.Future[T]) -> T:
        """The result of ``answer``; raises GatewayError (unconfirmed) when the gateway stops before."""
        return await self._house.drain.unless_over(answer)

    # -- life

    def open(self) -> None:
        """Count the client as connected; what its handshake said is not needed any more."""
        assert self._client is not None
        if self._ended:
            return
        self.principal.settle()
        self._house.drain.add(self._client)
        self._house.connected[self.principal.transport] += 1

    def reject(self, error: GatewayError) -> None:
        """Count the client as one that was refused."""
        self._house.metrics.rejected.labels(error.kind.name).inc()

    def end(self, code: int) -> None:
        """The client is gone, by close code ``code``; harmless when called again. It does not come back."""
        self._ended = True
        for name in self.names:
            self.unsubscribe(name)
        if self._pressure is not None:
            self._pressure.close()
        if self._client is not None and self._house.drain.discard(self._client):
            self._house.connected[self.principal.transport] -= 1
            self._house.metrics.closes.labels(str(code) if code in CLOSE_CODES else "other").inc()

    # -- inside

    def _allows(self, use: Use, channel: Channel, name: str) -> bool:
        return self._house.rules.allow(self.principal, use, channel, name)

    def _check(self, use: Use, channel: Channel, name: str) -> None:
        if not self._allows(use, channel, name):
            raise _forbidden(use, name)


_DOING = {Use.SUBSCRIBE: "subscribe to", Use.PUBLISH: "publish to", Use.REQUEST: "send requests to"}


def _forbidden(use: Use, name: str) -> GatewayError:
    return GatewayError(FORBIDDEN, f"this client may not {_DOING[use]} {name!r}")

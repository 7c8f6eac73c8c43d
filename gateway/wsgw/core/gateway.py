"""The gateway without its surfaces: channels, rules, hub, broker and bridges. Surfaces come in by sessions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from wsgw.access.authenticator import Authenticator
from wsgw.access.identity import Identity
from wsgw.access.pages import Pages
from wsgw.access.principal import Principal
from wsgw.access.proxies import Proxies
from wsgw.access.rules import AllowAll, IdentityRules, Rules
from wsgw.bridges.base import Bridge
from wsgw.bridges.durable import DurableBridge
from wsgw.bridges.fixed import FixedBridge
from wsgw.bridges.hemera import HemeraBridge
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker.broker import Broker
from wsgw.broker.stored import Storing
from wsgw.broker.subscription import Credentials
from wsgw.channels.channel import Channel
from wsgw.channels.table import ChannelTable
from wsgw.config.addresses import TcpAddress
from wsgw.config.settings import Settings
from wsgw.core import hemera, series
from wsgw.core.bridgetable import BridgeTable
from wsgw.core.drain import Drain
from wsgw.core.edge import Edge
from wsgw.core.expiries import Expiries
from wsgw.core.house import Reconfigured
from wsgw.core.identityheaders import IdentityHeaders
from wsgw.core.outbound import ANY_SIZE, Outlets
from wsgw.core.permits import Permits
from wsgw.core.scrapes import Scrapes
from wsgw.core.session import Session
from wsgw.core.sessionclient import SessionClient
from wsgw.errors import DRAINING, NO_MEMORY, UNCONFIRMED, GatewayError, LimitError
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Wire
from wsgw.fanout.sender import Sender
from wsgw.fanout.stamp import StampingSender, StampingWire
from wsgw.metrics import Metrics
from wsgw.protocols.handshake import Handshake
from wsgw.shares.heap import Heap
from wsgw.shares.slices import Slices
from wsgw.tasks import end

log = logging.getLogger("wsgw.gateway")

T = TypeVar("T")

LAG_INTERVAL_SECONDS = 0.25
#: What a disconnection from a NATS that does not answer takes, beside the wait for confirmations.
BROKER_CLOSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether traffic should come here, and why not: ``nats`` and the bridges that are not subscribed, by channel."""

    ready: bool
    nats: str
    bridges: dict[str, str]
    draining: bool


class Gateway:
    """One process' gateway. Everything happens on the event loop it is started on."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        rules: Rules | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.scrapes = Scrapes(metrics.exposition)
        cookies = settings.auth is not None and settings.auth.cookie_key is not None
        listening = [each.host for each in settings.addresses if isinstance(each, TcpAddress)]
        pages = Pages(settings.origins, settings.hosts, listening, credentials=cookies)
        has_users = settings.auth is not None or authenticator is not None
        proxies = Proxies(settings.trusted_proxies)
        self.edge = Edge(settings.limits, metrics, pages=pages, proxies=proxies, has_users=has_users)
        self.channels = ChannelTable(settings.channel_table())
        self.broker = make_broker(settings, metrics)
        self.authenticator = authenticator or _authenticator(settings, self.broker)
        self.rules: Rules = rules or (AllowAll() if self.authenticator is None else IdentityRules())
        self.identity_headers = _identity_headers(settings)
        self.hub = Hub(metrics, self.broker.turn, time.monotonic, self.broker)
        self._storing = Storing(self.broker)
        most = settings.limits.message_bytes
        self._max_message_bytes = ANY_SIZE if most is None else int(most)
        self.outlets = Outlets(
            self.channels, self.broker, self._storing, metrics, hemera.kind_of, self._max_message_bytes
        )
        self.drain = Drain(settings.drain_seconds, self.hub.flush, time.monotonic)
        self.totals = OutboxTotals(self.edge.memory)
        self._catching_up = Slices(asyncio.get_running_loop())
        self.bridges = BridgeTable(self._bridge, self.channels)
        self.sessions: set[Reconfigured] = set()
        self.expiries = Expiries(self.edge.slices)
        self.permits = Permits(self.broker, self.edge.slices)
        self._looking_task: asyncio.Task[None] | None = None
        self.connected = dict.fromkeys(series.CONNECTED, 0)
        for transport in series.CONNECTED:
            metrics.connections.labels(transport).set_function(partial(self.connected.__getitem__, transport))
        metrics.outbox_messages.set_function(lambda: self.totals.messages)
        metrics.outbox_bytes.set_function(lambda: self.totals.bytes)
        series.make(metrics, self.channels)
        self.configured(again=False)

    # -- life

    async def start(self) -> None:
        """Start connecting and bridging; returns at once."""
        if self.authenticator is not None:
            self.authenticator.start()
        await self.broker.start()
        self.bridges.start()
        self._looking_task = asyncio.get_running_loop().create_task(self._look_after(), name="looking after lag, heap")

    async def stop(self, timeout_seconds: float) -> None:
        """End bridges and the connection to NATS, after what clients published is confirmed.

        That takes at most ``timeout_seconds``, and not more than what is left of ``drain_seconds``; where NATS does
        not answer and little is left, up to BROKER_CLOSE_SECONDS more.
        """
        log.info("nats: Shutting down")
        self.drain.begin()
        if self._looking_task is not None:
            await end(self._looking_task)
        if self.authenticator is not None:
            await self.authenticator.close()
        await self.permits.close()
        await self.bridges.stop()
        until = time.monotonic() + min(timeout_seconds, self.drain.seconds_left())
        await self._storing.stop(_without_close(until - time.monotonic()))
        await self.broker.stop(_without_close(max(0.0, until - time.monotonic())))

    def readiness(self) -> Readiness:
        """What ``/readyz`` tells."""
        nats = "connected" if self.broker.connected else "not connected"
        ready = self.broker.connected and self.bridges.subscribed and not self.drain.announced
        return Readiness(ready, nats, self.bridges.missing(), self.drain.announced)

    def configured(self, *, again: bool) -> None:
        """The configuration in use was read now."""
        if again:
            self.metrics.config_reloads.labels("success").inc()
        self.metrics.config_last_reload_successful.set(1)
        self.metrics.config_last_reload_success_timestamp_seconds.set_to_current_time()

    def configuration_failed(self) -> None:
        """What was read again cannot be used."""
        self.metrics.config_reloads.labels("failure").inc()
        self.metrics.config_last_reload_successful.set(0)

    # -- for surfaces

    async def identify(self, principal: Principal, token: str | None = None) -> None:
        """Find out who ``principal`` is, by its handshake or a ``token`` said elsewhere; nothing without it.

        Raises GatewayError, which is counted as rejected: see ``Authenticator.identify``.
        """
        if self.authenticator is not None:
            handshake = principal.handshake
            assert handshake is not None, "it is known already: see identity_of"
            principal.identity = await self.identity_of(handshake, token)

    async def identity_of(self, handshake: Handshake, token: str | None = None) -> Identity:
        """As ``identify``, of who shows that, with authentication; raises GatewayError (draining), too."""
        assert self.authenticator is not None
        try:
            found = self.authenticator.identify(handshake, token)
            return found if isinstance(found, Identity) else await self._unless_stopped(found)
        except GatewayError as error:
            self.edge.refused(error.kind.name)
            raise

    def arrive(self, principal: Principal, *, stays: bool = True) -> None:
        """A client comes that wants to stay, or has a single message: to be called before anything is found out of it.

        Who stays counts from now on, until ``arrived``: to find out may take long. Raises LimitError, which is counted
        as rejected: so many come from its address.
        """
        principal.seat = self.edge.arrive(principal.network, stays=stays)

    def arrived(self, principal: Principal) -> None:
        """The client has a session, which counts it, or is refused. Once, for who wanted to stay."""
        if principal.seat is not None:
            principal.seat.leave()

    def open_session(
        self, principal: Principal, client: SessionClient | None = None, sender: Sender | None = None
    ) -> Session:
        """A session for a client that comes now; raises GatewayError, which is counted as rejected.

        draining, no_memory, token_expired, what the rules say, rate_limited, too_many_connections. See ``Session`` for
        ``client`` and ``sender``.
        """
        try:
            self.drain.check()
            self._check_memory()
            self._check_expiry(principal)
            if principal.handshake is not None:  # else it was admitted before
                self.rules.admit(principal)
            self._seat(principal, stays=client is not None)
        except LimitError as error:
            user = principal.user
            self.edge.over_limit(error, principal.network if user is None else repr(user))
            raise
        except GatewayError as error:
            self.edge.refused(error.kind.name, "%s" if error.kind is NO_MEMORY else "", error.message)
            raise
        return Session(self, principal, client, sender)

    def sender(self, wire: Wire, overflowed: Callable[[], None]) -> Sender:
        """The sending half of a connection; see ``Sender``."""
        return Sender(wire, self.totals, overflowed)

    def stamping_sender(self, wire: StampingWire, overflowed: Callable[[], None]) -> StampingSender:
        """The same to a client that is told with each publication where it stands in all its streams."""
        return StampingSender(wire, self.totals, overflowed)

    def rejected(self, reason: str) -> None:
        """Count a connection or request that was refused before there was a session."""
        self.edge.refused(reason)

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that is taken of a client now: what NATS takes, or less."""
        return min(self.broker.max_payload_bytes, self._max_message_bytes)

    def bridge_of(self, channel: Channel) -> Bridge:
        """The bridge of a channel that delivers."""
        return self.bridges.of(channel)

    # -- inside

    async def _unless_stopped(self, finding: Awaitable[Identity]) -> Identity:
        """What ``finding`` finds, which is given up when the stop waits for it no longer: who decides may be slow."""
        task = asyncio.ensure_future(finding)
        try:
            return await self.drain.unless_over(task)
        except GatewayError as error:
            if error.kind is UNCONFIRMED:  # nothing was to be accepted yet
                raise GatewayError(DRAINING, DRAINING.summary) from None
            raise
        finally:
            task.cancel()
            del task  # an error has this frame, and the task the error

    def _check_memory(self) -> None:
        memory = self.edge.memory
        if memory.full:
            raise GatewayError(NO_MEMORY, f"more than {memory.limit_bytes} bytes are kept for clients; come later")

    def _seat(self, principal: Principal, *, stays: bool) -> None:
        seat = principal.seat
        if seat is None:
            return
        if principal.user is not None:
            seat.identify(principal.user, stays=stays)
        if stays:
            seat.enter()

    def _check_expiry(self, principal: Principal) -> None:
        if principal.identity is not None:
            self.expiries.check(principal.identity.expires_at)

    def _bridge(self, channel: Channel) -> Bridge:
        if channel.durable is not None:
            return DurableBridge(channel, self.broker, self.hub, self.edge.memory, self._catching_up)
        if channel.has_many_subjects:
            return PatternBridge(channel, self.broker, self.hub, self.settings.subjects_limit)
        kind = FixedBridge if channel.hemera is None else HemeraBridge
        return kind(channel, self.broker, self.hub)

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        heap = Heap()
        while True:
            due = loop.time() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.metrics.event_loop_lag_seconds.set(max(0.0, loop.time() - due))
            heap.look(self.edge.memory.used_bytes)
            self.edge.seats.sweep()


def _without_close(left_seconds: float) -> float:
    """What of ``left_seconds`` can be waited for confirmations."""
    return max(left_seconds - BROKER_CLOSE_SECONDS, left_seconds / 2)


def _authenticator(settings: Settings, broker: Broker) -> Authenticator | None:
    if settings.auth is None:
        return None
    from wsgw.access.authentication import make_authenticator  # what it needs takes long

    return make_authenticator(settings.auth, broker)


def make_broker(settings: Settings, metrics: Metrics) -> Broker:
    """The broker that ``settings`` describe, not started."""
    nats = settings.nats
    password = nats.password.get_secret_value() if nats.password else None
    token = nats.token.get_secret_value() if nats.token else None
    tls = None if nats.tls is None else nats.tls.files()
    credentials = Credentials(nats.user, password, token, nats.credentials_file, nats.nkey_seed_file, tls)
    return Broker(nats.servers, metrics, credentials, inbox_prefix=nats.inbox_prefix)


def _identity_headers(settings: Settings) -> IdentityHeaders | None:
    names = None if settings.auth is None else settings.auth.identity_headers
    return None if names is None else IdentityHeaders(names.user, names.session)

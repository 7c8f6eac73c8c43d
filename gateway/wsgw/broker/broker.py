"""The broker: a connection to NATS that is always being had or being made again, and what is asked of it meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from wsgw.backoff import Backoff
from wsgw.broker.connection import NatsConnection, unavailable
from wsgw.broker.fences import Outcome
from wsgw.broker.headers import Sendable
from wsgw.broker.info import DEFAULT_MAX_PAYLOAD_BYTES
from wsgw.broker.requests import INBOX_PREFIX, new_inbox
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.errors import OVERLOADED, GatewayError, WsgwError
from wsgw.fanout.publication import Publication
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics
from wsgw.shares.repeats import Repeats
from wsgw.tasks import end

log = logging.getLogger("wsgw.nats")

CONNECT_TIMEOUT_SECONDS = 2.0
BACKOFF_SECONDS = (0.05, 2.0)
#: A connection that lasted as long was a good one; after a shorter one the back-off goes on, and another server's is
#: the next turn.
STEADY_SECONDS = 5.0
#: Publishes not confirmed yet, of all sessions: above the high mark clients are not read from, until under half of it.
#: Requests waiting for replies hold at most as many bytes again.
MAX_IN_FLIGHT_MESSAGES = 65_536
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
MAX_REQUESTS = 10_000


class Publishing(Protocol):
    """Somebody who publishes, and can be asked to pause."""

    def congested(self) -> None:
        """Publish nothing more, please, until ``cleared``."""

    def cleared(self) -> None:
        """Undo ``congested``."""


class NatsUnreachable(WsgwError):
    """No configured NATS server could be connected to, and waiting was not wanted."""


class Broker:
    """``servers`` are nats:// or tls:// URLs, tried in turn for ever with back-off."""

    def __init__(
        self,
        servers: Sequence[str],
        metrics: Metrics,
        credentials: Credentials | None = None,
        name: str = "wsgw",
        inbox_prefix: str = INBOX_PREFIX,
    ) -> None:
        self._servers = list(servers)
        self._discovered: list[str] = []  # what the last connection told of
        self._credentials = credentials or Credentials()
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._metrics = metrics
        self._repeats = Repeats(log)
        self._connection: NatsConnection | None = None
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: connections there were, with that of now
        self.connects = 0
        self._url = ""  # connected to now or last
        self._told_connected = False  # the log
        self._requests = 0
        self._request_bytes = 0
        self._kept_messages = 0
        self._kept_bytes = 0
        self._publishing: dict[Publishing, None] = {}
        self._congested = False  # them, since more was in flight than the limits; until it is under half of them
        self._max_payload_bytes = DEFAULT_MAX_PAYLOAD_BYTES
        #: what NATS sends is delivered within runs of it
        self.turn = Turn(asyncio.get_running_loop().call_soon)
        metrics.publishes_in_flight.set_function(lambda: self._in_flight()[0])

    @property
    def connected(self) -> bool:
        """Whether there is a connection, and NATS answers on it."""
        return self._connection is not None and not self._connection.lost.done()

    @property
    def max_payload_bytes(self) -> int:
        """``max_payload`` of the server connected to now, as it says it now, or last."""
        return self._max_payload_bytes if self._connection is None else self._connection.max_payload_bytes

    def add(self, publishing: Publishing) -> None:
        """Tell ``publishing`` when too many publishes wait for NATS, those of all together."""
        self._publishing[publishing] = None
        if self._congested:
            publishing.congested()

    def discard(self, publishing: Publishing) -> None:
        """Undo ``add``; harmless without it."""
        self._publishing.pop(publishing, None)

    async def start(self, *, wait: bool = True) -> None:
        """Begin connecting. With ``wait`` false one round over the servers must succeed, else NatsUnreachable."""
        if not wait:
            try:
                await self._connect_any()
            except OSError as error:
                raise NatsUnreachable(str(error)) from None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="nats: keeping a connection")

    async def stop(self, timeout_seconds: float) -> None:
        """Wait for what is in flight to be confirmed, for at most ``timeout_seconds``, and disconnect.

        That takes up to ten seconds more where nats-py would not end.
        """
        connection = self._connection
        if connection is not None:
            try:
                async with asyncio.timeout(timeout_seconds):  # wait_for can swallow a cancellation (3.11)
                    await connection.barrier()
            except (TimeoutError, GatewayError) as error:
                log.warning("nats: not everything in flight was confirmed: %s", str(error) or "no answer in time")
        if self._task is not None:
            await end(self._task)
        for each in {connection, self._connection}:  # there may be a new one: the task was slow to end
            if each is not None:
                self._forget_connection()
                await each.close("the gateway stopped")

    async def wait_connected(self) -> None:
        """Returns as soon as there is a connection."""
        await self._connected.wait()

    @property
    def inbox_prefix(self) -> str:
        """What the subjects begin with on which NATS answers."""
        return self._inbox_prefix

    def lost(self) -> asyncio.Future[str] | None:
        """Done when the connection there is now is lost; None when there is none. Not to be cancelled."""
        return None if self._connection is None else self._connection.lost

    def publish(
        self,
        subject: str,
        payloads: Sequence[bytes],
        outcome: Outcome,
        headers: Sendable | None = None,
        reply_to: str = "",
        *,
        heldable: bool = True,
    ) -> None:
        """Publish in order of calls; ``outcome`` is told once, with None when NATS has processed all ``payloads``.

        Without a connection it is told so at once (nats_unavailable); when the connection is lost before the proof,
        ``unconfirmed``; when NATS refuses the subject, ``forbidden``; above twice the limits, ``overloaded``, and above
        that of bytes for who is not ``heldable`` by ``congested``: nothing else keeps these from going on.
        Each payload goes with ``headers`` and ``reply_to``; see ``NatsConnection.publish`` for what is refused at once.
        """
        connection = self._connection
        if connection is None:
            outcome(unavailable())
            return
        if self._congested:  # else it is under the limits
            full = self.why_full(heldable=heldable)
            if full is not None:
                outcome(full)
                return
        connection.publish(subject, payloads, outcome, headers, reply_to)
        if not self._congested:
            messages, size = connection.in_flight
            messages += self._kept_messages
            if messages > MAX_IN_FLIGHT_MESSAGES or size + self._kept_bytes > MAX_IN_FLIGHT_BYTES:
                self._congest()

    def publish_each(self, subject: str, messages: Sequence[tuple[str, bytes, bytes]], outcome: Outcome) -> None:
        """As ``publish``, of messages that wait for replies: see ``NatsConnection.publish_each``, and ``keep``."""
        if self._connection is None:
            outcome(unavailable())
            return
        self._connection.publish_each(subject, messages, outcome)

    def keep(self, messages: int, size_bytes: int) -> None:
        """So many messages more, or fewer, wait for NATS beside those that a connection is to confirm."""
        self._kept_messages += messages
        self._kept_bytes += size_bytes
        if messages < 0:
            self._settled()
        elif not self._congested:
            in_flight, size = self._in_flight()
            if in_flight > MAX_IN_FLIGHT_MESSAGES or size > MAX_IN_FLIGHT_BYTES:
                self._congest()

    def why_full(self, *, heldable: bool = True) -> GatewayError | None:
        """Overloaded, where twice as much as the limits waits for NATS; see ``publish`` for ``heldable``."""
        messages, size = self._in_flight()
        most_bytes = 2 * MAX_IN_FLIGHT_BYTES if heldable else MAX_IN_FLIGHT_BYTES
        if messages > 2 * MAX_IN_FLIGHT_MESSAGES or size > most_bytes:
            return GatewayError(OVERLOADED, f"{messages} messages are waiting for NATS")
        return None

    def listen(self, subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
        """As ``subscribe`` without waiting: it is in effect for what is published from now on; raises GatewayError."""
        if self._connection is None or self._connection.lost.done():
            raise unavailable()
        subscription = NatsSubscription(subject, deliver)
        self._connection.listen(subscription)
        return subscription

    async def subscribe(self, subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
        """Interest in ``subject``, in effect on return, until its ``ended``. ``deliver`` must not block.

        Raises GatewayError: nats_unavailable, forbidden.
        """
        if self._connection is None:
            raise unavailable()
        subscription = NatsSubscription(subject, deliver)
        await self._connection.subscribe(subscription)
        return subscription

    async def subscribe_all(
        self, wanted: Sequence[tuple[str, Callable[[Publication], None]]]
    ) -> list[NatsSubscription]:
        """As ``subscribe`` for each of ``wanted``, for little more than the cost of one.

        Raises GatewayError (nats_unavailable) when there is no connection; else what could not be has ``ended``.
        """
        if self._connection is None:
            raise unavailable()
        subscriptions = [NatsSubscription(subject, deliver) for subject, deliver in wanted]
        await self._connection.subscribe_all(subscriptions)
        return subscriptions

    def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End a subscription; nothing is delivered by it any more. Harmless when it has ended."""
        if self._connection is not None:
            self._connection.unsubscribe(subscription)

    def hold(self) -> None:
        """Read nothing from this connection to NATS until ``release``; to be said again when there may be another."""
        if self._connection is not None:
            self._connection.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        if self._connection is not None:
            self._connection.release()

    async def barrier(self) -> None:
        """Returns when NATS has processed all sent before; raises GatewayError when it cannot."""
        if self._connection is None:
            raise unavailable()
        await self._connection.barrier()

    async def request(self, subject: str, payload: bytes, timeout_seconds: float) -> Publication:
        """The reply to a request; raises GatewayError (see ``NatsConnection.request``, and overloaded)."""
        if self._connection is None:
            raise unavailable()
        if self._requests >= MAX_REQUESTS or self._request_bytes + len(payload) > MAX_IN_FLIGHT_BYTES:
            raise GatewayError(OVERLOADED, f"{self._requests} requests are waiting for replies")
        full = self.why_full()  # also of requests that wait no more, on their way to NATS
        if full is not None:
            raise full
        self._requests += 1
        self._request_bytes += len(payload)
        try:
            return await self._connection.request(subject, payload, timeout_seconds)
        finally:
            self._requests -= 1
            self._request_bytes -= len(payload)

    async def ask(self, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
        """The payload of the reply, as ``request``, on the gateway's own behalf: what clients ask does not count."""
        if self._connection is None:
            raise unavailable()
        return (await self._connection.request(subject, payload, timeout_seconds)).payload

    def new_inbox(self) -> str:
        """A subject that nobody can guess, on which NATS may answer the gateway; further tokens can follow it."""
        return new_inbox(self._inbox_prefix)

    # -- inside

    async def _run(self) -> None:
        backoff = Backoff(*BACKOFF_SECONDS)
        while True:
            if self._connection is None:
                try:
                    await self._connect_any()
                except Exception as error:
                    unexpected = None if isinstance(error, OSError) else error
                    self._repeats.say(logging.WARNING, f"nats: waiting for NATS: {error}", error=unexpected)
                    await asyncio.sleep(backoff.next())
                    continue
            connection = self._connection
            assert connection is not None
            await asyncio.wait({connection.lost}, timeout=STEADY_SECONDS)
            steady = not connection.lost.done()
            if steady:
                backoff.reset()
                if not self._told_connected:
                    log.info("nats: Connected to %s for %g s now", masked(self._url), STEADY_SECONDS)
            reason = await asyncio.shield(connection.lost)
            self._forget_connection()
            self._repeats.say(logging.WARNING, f"nats: connection lost: {reason}")
            known = {_address(url) for url in self._servers}
            self._discovered = [url for url in connection.discovered() if _address(url) not in known]
            await connection.close()
            if not steady:
                self._put_last(self._url)
                await asyncio.sleep(backoff.next())

    async def _connect_any(self) -> None:
        reasons = []
        for url in [*self._servers, *self._discovered]:
            connection = NatsConnection(self._settled, self.turn, self._repeats, self._inbox_prefix)
            try:
                await connection.open(url, self._credentials, self._name, CONNECT_TIMEOUT_SECONDS)
            except OSError as error:
                reasons.append(f"{masked(url)}: {error}")
                self._put_last(url)
                continue
            if self.connects:
                self._metrics.nats_reconnects.inc()
            self.connects += 1
            self._connection = connection
            self._url = url
            self._connected.set()
            self._metrics.nats_connected.set(1)
            self._told_connected = self._repeats.say(logging.INFO, f"nats: Connected to {masked(url)}")
            return
        raise OSError("; ".join(reasons))

    def _put_last(self, url: str) -> None:
        """The next server first, next time; the configured ones go before those that a server told of."""
        for urls in (self._servers, self._discovered):
            if url in urls:
                urls.remove(url)
                urls.append(url)
                return

    def _forget_connection(self) -> None:
        self._max_payload_bytes = self.max_payload_bytes
        self._connection = None
        self._connected.clear()
        self._metrics.nats_connected.set(0)

    def _in_flight(self) -> tuple[int, int]:
        if self._connection is None:
            return self._kept_messages, self._kept_bytes
        messages, size = self._connection.in_flight
        return self._kept_messages + messages, self._kept_bytes + size

    def _congest(self) -> None:
        self._congested = True
        for publishing in list(self._publishing):
            publishing.congested()

    def _settled(self) -> None:
        if self._congested:
            messages, size = self._in_flight()
            if messages <= MAX_IN_FLIGHT_MESSAGES // 2 and size <= MAX_IN_FLIGHT_BYTES // 2:
                self._congested = False
                waiting = list(self._publishing)
                random.shuffle(waiting)  # the first ones may fill it again
                for publishing in waiting:
                    publishing.cleared()


def _address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def masked(url: str) -> str:
    """``url`` without its secrets, for logs."""
    parts = urlsplit(url)
    if parts.username is None:
        return url
    shown = f"{parts.username}:***" if parts.password is not None else "***"
    return urlunsplit(parts._replace(netloc=f"{shown}@{parts.netloc.rpartition('@')[2]}"))

"""The broker: what is asked of NATS, by the connection that there is (``uplink``), and what is said without one."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.broker.fences import Outcome
from wsgw.broker.headers import HeaderBlock, Sendable
from wsgw.broker.requests import INBOX_PREFIX
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.broker.uplink import Uplink
from wsgw.broker.writing import unavailable
from wsgw.errors import OVERLOADED, GatewayError
from wsgw.fanout.publication import Publication
from wsgw.metrics import Metrics

log = logging.getLogger("wsgw.nats")

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


class Broker(Uplink):
    """``servers`` are nats:// or tls:// URLs, tried in turn for ever with back-off."""

    def __init__(
        self,
        servers: Sequence[str],
        metrics: Metrics,
        credentials: Credentials | None = None,
        name: str = "wsgw",
        inbox_prefix: str = INBOX_PREFIX,
    ) -> None:
        super().__init__(servers, metrics, credentials or Credentials(), name, inbox_prefix)
        self._requests = 0
        self._request_bytes = 0
        self._kept_messages = 0
        self._kept_bytes = 0
        self._publishing: dict[Publishing, None] = {}
        self._congested = False  # them, since more was in flight than the limits; until it is under half of them
        metrics.publishes_in_flight.set_function(lambda: self._in_flight()[0])

    def add(self, publishing: Publishing) -> None:
        """Tell ``publishing`` when too many publishes wait for NATS, those of all together."""
        self._publishing[publishing] = None
        if self._congested:
            publishing.congested()

    def discard(self, publishing: Publishing) -> None:
        """Undo ``add``; harmless without it."""
        self._publishing.pop(publishing, None)

    def publish(
        self,
        subject: str,
        payloads: Sequence[bytes],
        outcome: Outcome,
        headers: Sendable | HeaderBlock | None = None,
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
        (subscription,) = await self.subscribe_all([(subject, deliver)])
        if subscription.ended.done():
            raise subscription.ended.result()
        return subscription

    async def subscribe_all(
        self, wanted: Sequence[tuple[str, Callable[[Publication], None]]]
    ) -> list[NatsSubscription]:
        """As ``subscribe`` for each of ``wanted``, for little more than the cost of one.

        Raises GatewayError (nats_unavailable) when there is no connection; else what could not be has ``ended``.
        """
        connection = self._connection
        if connection is None:
            raise unavailable()
        subscriptions = left = [NatsSubscription(subject, deliver) for subject, deliver in wanted]
        try:
            await connection.subscribe_all(subscriptions)
            left = [subscription for subscription in subscriptions if subscription.ended.done()]
        finally:
            if connection is not self._connection:  # they may have been handed over meanwhile
                for subscription in left:
                    self.unsubscribe(subscription)
        return subscriptions

    def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End a subscription; nothing is delivered by it any more. Harmless when it has ended."""
        if self._connection is not None:
            self._connection.unsubscribe(subscription)
        if self._handover is not None:
            self._handover.unsubscribe(subscription)

    async def barrier(self) -> None:
        """Returns when NATS has processed all sent before; raises GatewayError when it cannot."""
        if self._connection is None:
            raise unavailable()
        await self._connection.barrier()

    async def request(
        self, subject: str, payload: bytes, timeout_seconds: float, headers: HeaderBlock | None = None
    ) -> Publication:
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
            return await self._connection.request(subject, payload, timeout_seconds, headers)
        finally:
            self._requests -= 1
            self._request_bytes -= len(payload)

    async def ask(self, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
        """The payload of the reply, as ``inquire``."""
        return (await self.inquire(subject, payload, timeout_seconds)).payload

    async def inquire(self, subject: str, payload: bytes, timeout_seconds: float) -> Publication:
        """The reply, as ``request``, on the gateway's own behalf: what clients ask does not count."""
        if self._connection is None:
            raise unavailable()
        return await self._connection.request(subject, payload, timeout_seconds)

    # -- inside

    def _in_flight(self) -> tuple[int, int]:
        if self._connection is None:
            return self._kept_messages, self._kept_bytes
        messages, size = self._connection.in_flight
        if self._leaving is not None:
            for connection in self._connections()[1:]:
                more_messages, more_size = connection.in_flight
                messages += more_messages
                size += more_size
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

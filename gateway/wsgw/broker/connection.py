"""One connection to one NATS server, from CONNECT until it is lost; it is never reconnected, only replaced.

nats-py's own reconnecting is off: it would send publishes that were already reported as unconfirmed, and some of the
server's errors end it for good. ``Broker`` makes a new ``NatsConnection`` instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit, urlunsplit

import nats.errors

from wsgw.broker.client import DirectClient
from wsgw.broker.delivery import receiver
from wsgw.broker.fences import Fences, Outcome
from wsgw.broker.headers import Sendable, encode
from wsgw.broker.parser import Deliver
from wsgw.broker.requests import Requests
from wsgw.broker.subscription import Credentials, NatsSubscription, Subscriptions
from wsgw.broker.violation import PermissionViolation
from wsgw.channels.table import too_large
from wsgw.errors import BAD_REQUEST, FORBIDDEN, NATS_UNAVAILABLE, UNCONFIRMED, GatewayError
from wsgw.fanout.turn import Turn
from wsgw.tasks import end

#: Idle connections are proven alive by a fence this often, and given up when one is out for FENCE_TIMEOUT and nothing
#: else has come meanwhile either (a fence comes behind all that waits to be read), or for FENCE_LIMIT whatever comes.
FENCE_INTERVAL_SECONDS = 2.0
FENCE_TIMEOUT_SECONDS = 5.0
FENCE_LIMIT_SECONDS = 30.0


class NatsConnection:
    """See the module. ``lost`` gets a sentence when the connection is over; all that was pending has failed by then."""

    def __init__(self, on_settled: Callable[[], None], turn: Turn) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = DirectClient(turn, self._closed, self._refused, self._failed)
        self._on_settled = on_settled
        self._lines: list[bytes] = []  # this tick's publishes and interest, as NATS' protocol has them
        self._scheduled = False
        self._fences = Fences()
        self._inbox = ""
        self._userinfo = ""
        self._subscriptions = Subscriptions()
        self._watching: asyncio.Task[None] | None = None
        self._last_error = ""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._requests = Requests(self._client, self.lost)

    async def open(self, url: str, credentials: Credentials, name: str, timeout_seconds: float) -> None:
        """Connect and prove it by a fence; raises OSError with the reason. What ``url`` holds (percent-encoded) is used
        instead of ``credentials``.
        """
        try:
            parts = urlsplit(url)
            self._userinfo, at, host = parts.netloc.rpartition("@")
            if at:
                credentials = Credentials.of_url(self._userinfo)
            await self._client.open(urlunsplit(parts._replace(netloc=host)), credentials, name, timeout_seconds)
            self._inbox = self._client.new_inbox()
            self._client.listen(f"{self._inbox}.*", self._fence_returned)
            self._watching = self._loop.create_task(self._watch(), name="nats: watching")
            async with asyncio.timeout(timeout_seconds):  # wait_for can swallow a cancellation (3.11)
                await self.barrier()
        except Exception as error:  # whatever answers there: it need not be NATS
            lost = self.lost.result() if self.lost.done() else ""
            reason = self._last_error or lost or str(error) or type(error).__name__
            await self.close()
            if "onnection reset" in reason:  # the server's reason was lost with the connection
                reason += " (NATS may have refused the credentials)"
            raise OSError(reason) from None
        except asyncio.CancelledError:
            await self.close()
            raise

    @property
    def max_payload_bytes(self) -> int:
        """The server's ``max_payload``."""
        return self._client.max_payload

    @property
    def in_flight(self) -> tuple[int, int]:
        """Publishes not confirmed yet: messages, bytes."""
        return self._fences.messages, self._fences.bytes

    def discovered(self) -> list[str]:
        """URLs of servers that the cluster told of, with the credentials of this one's URL."""
        userinfo = f"{self._userinfo}@" if self._userinfo else ""
        return [f"{server.scheme}://{userinfo}{server.netloc}" for server in self._client.discovered_servers]

    def publish(
        self, subject: str, payloads: Sequence[bytes], outcome: Outcome, headers: Sendable | None = None
    ) -> None:
        """Publish at the end of this tick, in order of calls; ``outcome`` is told once for all ``payloads``.

        Each goes with ``headers``. It is told at once, and nothing is sent, of a payload that is too_large with its
        headers, of headers that are none (bad_request), and of a server that takes no headers (forbidden).
        """
        if self.lost.done():
            outcome(unavailable())
            return
        if headers:
            try:
                head, sizes = self._with_headers(subject, headers, payloads)
            except GatewayError as error:
                outcome(error)
                return
        else:
            head = b"PUB %b %%d\r\n" % subject.encode().replace(b"%", b"%%")
            sizes = [len(payload) for payload in payloads]
        if max(sizes) > self._client.max_payload:
            outcome(too_large(max(sizes), self._client.max_payload))
            return
        last, line = -1, b""
        for size, payload in zip(sizes, payloads, strict=True):
            if size != last:
                last, line = size, head % size
            self._lines += (line, payload, b"\r\n")
        self._fences.add(subject, len(sizes), sum(sizes), outcome)
        self._schedule()

    def barrier(self) -> asyncio.Future[None]:
        """Done when NATS has processed everything sent so far; fails with GatewayError when the connection is lost."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(unavailable())
            return future

        def outcome(error: GatewayError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._fences.add("", 0, 0, outcome)
        self._schedule()
        return future

    async def subscribe(self, subscription: NatsSubscription) -> None:
        """Returns when the subscription is in effect; raises GatewayError (forbidden, nats_unavailable)."""
        await self.subscribe_all([subscription])
        if subscription.ended.done():
            raise subscription.ended.result()

    async def subscribe_all(self, subscriptions: Sequence[NatsSubscription]) -> None:
        """Returns when all that have not ``ended`` are in effect, proven by one fence."""
        wanted = [(subscription.subject, self._receiver(subscription)) for subscription in subscriptions]
        try:
            numbers = self._client.listen_all(wanted, self._add)
        except nats.errors.Error as error:
            for subscription in subscriptions:
                subscription.end(GatewayError(NATS_UNAVAILABLE, f"NATS: {error}"))
            return
        for subscription, number in zip(subscriptions, numbers, strict=True):
            subscription.number = number
            self._subscriptions.add(subscription)
        left: Sequence[NatsSubscription] = subscriptions
        try:
            await self.barrier()
        except GatewayError as error:
            for subscription in subscriptions:
                subscription.end(error)
        else:
            left = [subscription for subscription in subscriptions if subscription.ended.done()]
        finally:  # also when cancelled: the caller knows of none
            for subscription in left:
                self.unsubscribe(subscription)

    def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End the interest at the end of this tick; nothing is delivered any more. Harmless when it is no more."""
        if self._subscriptions.discard(subscription):
            self._client.unlisten(subscription.number, self._add)

    async def request(self, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
        """The reply of a responder; raises GatewayError (no_responders, timeout, forbidden, unconfirmed)."""
        return await self._requests.ask(subject, payload, timeout_seconds)

    def hold(self) -> None:
        """Read nothing from NATS until ``release``."""
        self._client.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        self._client.release()

    async def close(self, reason: str = "closed") -> None:
        """End the connection, within about a second whatever the server does."""
        self._lose(reason)
        if self._watching is not None:
            await end(self._watching)
        await self._client.shut()

    # -- inside

    def _with_headers(self, subject: str, headers: Sendable, payloads: Sequence[bytes]) -> tuple[bytes, list[int]]:
        """What stands before each payload, with a place for the size, and the sizes; raises GatewayError."""
        if not self._client.takes_headers:
            raise GatewayError(FORBIDDEN, "the NATS server takes no messages with headers")
        try:
            block = encode(headers)
        except ValueError as error:
            raise GatewayError(BAD_REQUEST, str(error)) from None
        head = b"HPUB %b %d %%d\r\n%b" % (_escaped(subject.encode()), len(block), _escaped(block))
        return head, [len(block) + len(payload) for payload in payloads]

    def _receiver(self, subscription: NatsSubscription) -> Deliver:
        # a pattern that covers _INBOX would bring the gateway's own fences to clients
        hidden = f"{self._inbox}.".encode() if subscription.subject.startswith(("*", ">")) else None
        return receiver(subscription.deliver, hidden)

    def _add(self, lines: bytes) -> None:
        self._lines.append(lines)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Write the tick's lines, and one fence behind them."""
        self._scheduled = False
        lines, self._lines = self._lines, []
        if not self.lost.done():
            lines.append(b"PUB %b.%d 0\r\n\r\n" % (self._inbox.encode(), self._fences.seal(self._loop.time())))
            self._client.write(b"".join(lines))

    async def _watch(self) -> None:
        """Keeps a fence going at least every FENCE_INTERVAL_SECONDS, and gives a dead connection up."""
        while True:
            await asyncio.sleep(FENCE_INTERVAL_SECONDS / 2)
            oldest = self._fences.oldest_sent_at()
            if oldest is None:
                self._schedule()
                continue
            waited = self._loop.time() - oldest
            if min(waited, self._client.silent_seconds()) > FENCE_TIMEOUT_SECONDS or waited > FENCE_LIMIT_SECONDS:
                self._lose(f"NATS did not answer for {int(waited)} s")
                return

    def _fence_returned(self, subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None:
        self._fences.returned(int(subject.rpartition(b".")[2]))
        self._on_settled()

    def _failed(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__

    def _refused(self, refusal: PermissionViolation) -> None:
        subject, said = refusal.subject, refusal.said
        if subject.startswith(f"{self._inbox}."):
            verb = "publish" if refusal.of_publish else "subscribe"
            self._last_error = f"NATS does not permit the gateway to {verb} to its inbox (_INBOX.>)"
            self._lose(self._last_error)
        elif refusal.of_publish:
            self._fences.denied(subject, said, explained=self._requests.denied(subject, said))
        else:
            for subscription in self._subscriptions.of(subject):
                subscription.end(GatewayError(FORBIDDEN, f"NATS refuses {subject!r}: {said}"))

    def _closed(self) -> None:
        self._lose(self._last_error or str(self._client.last_error or "") or "the connection was closed")

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._lines.clear()
        self._fences.fail(GatewayError(UNCONFIRMED, "the connection to NATS was lost: unknown whether accepted"))
        for subscription in self._subscriptions:
            subscription.end(GatewayError(NATS_UNAVAILABLE, reason))
        self._on_settled()


def _escaped(piece: bytes) -> bytes:
    return piece.replace(b"%", b"%%")


def unavailable() -> GatewayError:
    """The error of everything that needs NATS while there is no connection."""
    return GatewayError(NATS_UNAVAILABLE, "the gateway has no connection to NATS")

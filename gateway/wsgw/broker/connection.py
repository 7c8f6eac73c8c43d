"""One connection to one NATS server, from CONNECT until it is lost; it is never reconnected, only replaced.

What was reported as unconfirmed must not be sent again, so nothing of a lost connection is kept: ``Broker`` makes a new
``NatsConnection``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlsplit, urlunsplit

from wsgw.broker.client import LARGE_BYTES, DirectClient
from wsgw.broker.fences import Outcome
from wsgw.broker.headers import HeaderBlock, Sendable, encode
from wsgw.broker.info import ServerInfo
from wsgw.broker.interest import Interest
from wsgw.broker.lines import publishes, publishes_each
from wsgw.broker.refusal import NeedsChange, refusal_of
from wsgw.broker.requests import INBOX_PREFIX, Requests, new_inbox
from wsgw.broker.subscription import Credentials
from wsgw.broker.violation import PermissionViolation
from wsgw.broker.writing import unavailable
from wsgw.channels.table import too_large
from wsgw.errors import BAD_REQUEST, FORBIDDEN, NATS_UNAVAILABLE, OVERLOADED, UNCONFIRMED, GatewayError
from wsgw.fanout.publication import Publication
from wsgw.fanout.turn import Turn
from wsgw.shares.repeats import Repeats
from wsgw.tasks import end

log = logging.getLogger("wsgw.nats")

#: Idle connections are proven alive by a fence this often, and given up when one is out for FENCE_TIMEOUT and nothing
#: else has come meanwhile either (a fence comes behind all that waits to be read), or for FENCE_LIMIT whatever comes.
FENCE_INTERVAL_SECONDS = 2.0
FENCE_TIMEOUT_SECONDS = 5.0
FENCE_LIMIT_SECONDS = 30.0

#: Refusals of NATS beyond those of what it was asked for.
SPARE_REFUSALS = 1000

#: What NATS says to one subscription more than it allows; the connection goes on (``max_subscriptions``, limits of
#: accounts).
NO_ROOM = "maximum subscriptions exceeded"


class NatsConnection(Interest):
    """See the module. ``lost`` gets a sentence when the connection is over; all that was pending has failed by then."""

    def __init__(
        self,
        on_settled: Callable[[], None],
        turn: Turn,
        repeats: Repeats | None = None,
        inbox_prefix: str = INBOX_PREFIX,
    ) -> None:
        self._repeats = repeats or Repeats(log)
        super().__init__(DirectClient(turn, self, self._repeats), new_inbox(inbox_prefix))
        self._on_settled = on_settled
        self._inbox_prefix = inbox_prefix
        self._max_payload = 0
        self._scheme = ""
        self._userinfo = ""
        #: the host that its certificate is for
        self.known_as = ""
        self._watching: asyncio.Task[None] | None = None
        self._last_error = ""
        #: done when the server has said that it goes soon
        self.leaving: asyncio.Future[None] = self._loop.create_future()
        self._requests = Requests(self.listen, self.unsubscribe, self._send, inbox_prefix)

    async def open(
        self, url: str, credentials: Credentials, name: str, timeout_seconds: float, known_as: str = ""
    ) -> None:
        """Connect and prove it by a fence; raises OSError with the reason, NeedsChange where waiting does not help.

        What ``url`` holds (percent-encoded) is used instead of ``credentials``. The certificate of the server has to be
        for the host in ``url``, or that which it is ``known_as``.
        """
        try:
            parts = urlsplit(url)
            self._userinfo, at, host = parts.netloc.rpartition("@")
            if at:
                credentials = credentials.of_url(self._userinfo)
            self._scheme = parts.scheme
            self.known_as = known_as or parts.hostname or ""
            server = urlunsplit(parts._replace(netloc=host))
            await self._client.open(server, credentials, name, timeout_seconds, known_as)
            self._client.listen(f"{self._inbox}.*", self._fence_returned)
            self._watching = self._loop.create_task(self._watch(), name="nats: watching")
            async with asyncio.timeout(timeout_seconds):  # wait_for can swallow a cancellation (3.11)
                await self.barrier()
        except Exception as error:  # whatever answers there: it need not be NATS
            lost = self.lost.result() if self.lost.done() else ""
            reason = self._last_error or lost or str(error) or type(error).__name__
            await self.close()
            if "onnection reset" in reason or "Broken pipe" in reason:  # the server's reason was lost with it
                reason += " (NATS may have refused the credentials or the certificate)"
            told = error if isinstance(error, NeedsChange) else OSError(reason)
            raise refusal_of(told, credentials, ()) or told from None
        except asyncio.CancelledError:
            await self.close()
            raise

    @property
    def max_payload_bytes(self) -> int:
        """The server's ``max_payload`` as it says it now."""
        return self._max_payload

    @property
    def in_flight(self) -> tuple[int, int]:
        """Publishes not confirmed yet, and requests that NATS is not known to have taken: messages, bytes."""
        return self._fences.messages, self._fences.bytes

    @property
    def is_waited_for(self) -> bool:
        """Whether publishes are to be confirmed still, or requests answered."""
        return bool(self._fences.messages or len(self._requests))

    @property
    def server_id(self) -> str:
        """What the server calls itself: another one each time it is started."""
        return self._client.info.id

    @property
    def ends(self) -> datetime | None:
        """When the server ends it, as the JWT that it was shown ends; None where it does not."""
        return self._client.ends

    def discovered(self) -> list[str]:
        """URLs of servers that the cluster told of, with the credentials of this one's URL."""
        userinfo = f"{self._userinfo}@" if self._userinfo else ""
        return [f"{self._scheme}://{userinfo}{address}" for address in self._client.info.urls]

    def publish(
        self,
        subject: str,
        payloads: Sequence[bytes],
        outcome: Outcome,
        headers: Sendable | HeaderBlock | None = None,
        reply_to: str = "",
    ) -> None:
        """Publish at the end of this tick, in order of calls; ``outcome`` is told once for all ``payloads``.

        Each goes with ``headers``, and asks for replies to the subject ``reply_to`` where there is one. It is told at
        once, and nothing is sent, of a payload that is too_large with its headers, of headers that are none
        (bad_request), and of a server that takes no headers (forbidden).
        """
        if self.lost.done():
            outcome(unavailable())
            return
        block = b""
        if headers:
            try:
                block = self._block(headers)
            except GatewayError as error:
                outcome(error)
                return
        sizes = [len(block) + len(payload) for payload in payloads]
        largest = max(sizes)
        if largest > self._max_payload:
            outcome(too_large(largest - len(block), self._max_payload - len(block)))
            return
        if largest >= LARGE_BYTES:
            self._large = True
        self._lines += publishes(subject, reply_to, block, payloads, sizes)
        self._fences.add(subject, len(sizes), sum(sizes), outcome)
        self._schedule()

    def publish_each(self, subject: str, messages: Sequence[tuple[str, bytes, bytes]], outcome: Outcome) -> None:
        """As ``publish``, of messages that have a subject for replies, a header block and a payload each.

        They count as nothing in flight, and the caller sees that none is too large: it waits for the replies.
        """
        if self.lost.done():
            outcome(unavailable())
            return
        if not self._client.info.headers:
            outcome(_no_headers())
            return
        self._lines += publishes_each(subject, messages)
        self._fences.add(subject, 0, 0, outcome)
        self._schedule()

    async def request(
        self, subject: str, payload: bytes, timeout_seconds: float, headers: HeaderBlock | None = None
    ) -> Publication:
        """The reply of a responder; raises GatewayError (no_responders, timeout, forbidden, too_large, unconfirmed, and
        nats_unavailable or overloaded where there can be no reply).
        """
        if self.lost.done():
            raise unavailable()
        block = b"" if headers is None else self._block(headers)
        if len(block) + len(payload) > self._max_payload:
            raise too_large(len(payload), self._max_payload - len(block))
        return await self._requests.ask(subject, payload, timeout_seconds, block)

    def hold(self) -> None:
        """Read nothing from NATS until ``release``."""
        self._client.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        self._client.release()

    async def close(self, reason: str = "closed") -> None:
        """End the connection; what is still to be written is dropped."""
        self._lose(reason)
        try:
            if self._watching is not None:
                await end(self._watching)
                self._watching = None  # it has this connection in the frame in which it was cancelled
        finally:  # also where a stop comes meanwhile
            self._client.shut()

    # -- inside

    def _block(self, headers: Sendable | HeaderBlock) -> bytes:
        """``headers`` as NATS has them; raises GatewayError."""
        if not self._client.info.headers:
            raise _no_headers()
        if isinstance(headers, HeaderBlock):
            return headers.block
        try:
            return encode(headers)
        except ValueError as error:
            raise GatewayError(BAD_REQUEST, str(error)) from None

    def _send(self, subject: str, reply_to: str, block: bytes, payload: bytes, outcome: Outcome) -> None:
        """Publish a request, with the header ``block`` if it is not empty, at the end of this tick."""
        size = len(block) + len(payload)
        self._lines += publishes(subject, reply_to, block, (payload,), (size,))
        if size >= LARGE_BYTES:
            self._large = True
        self._fences.add(subject, 1, size, outcome)
        self._schedule()

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
        number = subject.rpartition(b".")[2]
        if number.isdigit() and len(number) < 20:  # who sees the inbox may write anything to it
            self._last_error = ""  # the server said it, and goes on
            self._fences.returned(int(number))
            self._on_settled()

    # -- Events, of the client

    def ended(self, reason: str) -> None:
        self._lose(self._last_error or reason)

    def informed(self, info: ServerInfo) -> None:
        self._max_payload = info.max_payload_bytes
        if info.lame_duck and not self.leaving.done():
            self.leaving.set_result(None)

    def error(self, said: str) -> None:
        self._last_error = said
        if self.lost.done() or self._watching is None:  # it is told as the reason of the end
            return
        self._repeats.say(logging.WARNING, f"nats: the server says: {said}")
        if said.lower().startswith(NO_ROOM):
            subscription = self._fences.overflowed()
            if subscription is not None:
                subscription.end(GatewayError(OVERLOADED, f"NATS has no room for a subscription to it: {said}"))

    def refused(self, violation: PermissionViolation) -> bool:
        # NATS refuses a publish before the fence behind it, and a subscription once, be it when its permissions change
        self._fences.refusals += 1
        if self._fences.refusals > self._fences.messages + self._client.last_number + SPARE_REFUSALS:
            return False
        subject, said = violation.subject, violation.said
        if subject.startswith(f"{self._inbox}."):
            verb = "publish" if violation.of_publish else "subscribe"
            self._last_error = f"NATS does not permit the gateway to {verb} to its inbox ({self._inbox_prefix}.>)"
            self._lose(self._last_error)
        elif violation.of_publish:
            self._fences.denied(subject, said)
        else:
            for subscription in self._subscriptions.of(subject):
                subscription.end(GatewayError(FORBIDDEN, f"NATS refuses {subject!r}: {said}"))
        return True

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._drop_lines()
        self._requests.close(GatewayError(UNCONFIRMED, "the connection to NATS was lost before the reply came"))
        self._fences.fail(GatewayError(UNCONFIRMED, "the connection to NATS was lost: unknown whether accepted"))
        for subscription in self._subscriptions:
            subscription.end(GatewayError(NATS_UNAVAILABLE, reason))
        self._on_settled()


def _no_headers() -> GatewayError:
    return GatewayError(FORBIDDEN, "the NATS server takes no messages with headers")

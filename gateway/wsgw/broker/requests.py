"""Requests of one connection that wait for their replies. Each costs a future and a timer, no task."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from wsgw.broker.fences import Outcome
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import FORBIDDEN, NO_RESPONDERS, TIMEOUT, GatewayError
from wsgw.fanout.publication import Publication

#: The status of what NATS itself replies where nobody listens (ADR-4 of nats-architecture-and-design).
NO_RESPONDERS_STATUS = 503

#: Publishes to a subject, with a reply subject, a header block (or nothing) and a payload; the outcome is told once.
Send = Callable[[str, str, bytes, bytes, Outcome], None]


#: What subjects begin with on which NATS answers, where nothing else is configured.
INBOX_PREFIX = "_INBOX"


def new_inbox(prefix: str) -> str:
    """A prefix of subjects that nobody can guess, below ``prefix``."""
    return f"{prefix}.{secrets.token_hex(11)}"


class Requests:
    """Asks through ``send``, and hears the replies through what it subscribes to by ``listen``, until ``close``.

    ``unlisten`` undoes that where NATS refused it. The caller bounds how many wait.
    """

    def __init__(
        self,
        listen: Callable[[NatsSubscription], None],
        unlisten: Callable[[NatsSubscription], None],
        send: Send,
        inbox_prefix: str = INBOX_PREFIX,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listen = listen
        self._unlisten = unlisten
        self._send = send
        self._waiting: dict[str, asyncio.Future[Publication]] = {}  # by the subject of the reply
        self._inbox: NatsSubscription | None = None
        # not that of the fences: who is asked learns it
        self._prefix = new_inbox(inbox_prefix)
        self._inboxes = f"{inbox_prefix}.>"

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, subject: str, payload: bytes, timeout_seconds: float, block: bytes = b"") -> Publication:
        """See ``NatsConnection.request``."""
        if self._inbox is None:
            self._inbox = NatsSubscription(f"{self._prefix}.*", self._replied)
            self._inbox.ended.add_done_callback(self._inbox_ended)
            self._listen(self._inbox)
        # at random: who is asked must not be able to answer what others are asked
        reply_to = f"{self._prefix}.{secrets.token_hex(8)}"
        waiting: asyncio.Future[Publication] = self._loop.create_future()
        timer = self._loop.call_later(timeout_seconds, _expire, waiting, subject, timeout_seconds)
        self._waiting[reply_to] = waiting
        try:
            self._send(subject, reply_to, block, payload, partial(_denied, waiting))
            return await waiting
        except _NobodyThere:
            raise GatewayError(NO_RESPONDERS, f"nobody answers requests on {subject!r}") from None
        finally:
            timer.cancel()
            self._waiting.pop(reply_to, None)
            del waiting  # it has the error, which has this frame: a circle, with the payload in it

    def close(self, error: GatewayError) -> None:
        """The connection is over: all that wait get ``error``, and there must be no more."""
        self._fail_all(error)
        del self._listen, self._unlisten, self._send  # the connection's, which has this

    # -- inside

    def _fail_all(self, error: GatewayError) -> None:
        waiting, self._waiting = self._waiting, {}
        self._inbox = None
        for each in waiting.values():
            _fail(each, GatewayError(error.kind, error.message))  # raised in as many places

    def _replied(self, reply: Publication) -> None:
        waiting = self._waiting.pop(reply.subject, None)
        if waiting is None or waiting.done():
            return
        if not reply.payload and reply.headers.status == NO_RESPONDERS_STATUS:
            waiting.set_exception(_NobodyThere())
        else:
            waiting.set_result(reply)

    def _inbox_ended(self, ended: asyncio.Future[GatewayError]) -> None:
        """NATS refuses it, now or later: the next request asks for it again."""
        inbox = self._inbox
        if inbox is not None and inbox.ended is ended:
            self._unlisten(inbox)
            error = ended.result()
            if error.kind is FORBIDDEN:  # its words have the inbox in them
                error = GatewayError(
                    FORBIDDEN, f"NATS does not permit the gateway to subscribe to its inbox ({self._inboxes})"
                )
            self._fail_all(error)


class _NobodyThere(Exception):
    """NATS says that nobody listens."""


def _fail(waiting: asyncio.Future[Publication], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)


def _denied(waiting: asyncio.Future[Publication], error: GatewayError | None) -> None:
    # of other errors, who waits is told by ``close``, or not at all: they are no word about this request
    if error is not None and error.kind is FORBIDDEN:
        _fail(waiting, error)


def _expire(waiting: asyncio.Future[Publication], subject: str, seconds: float) -> None:
    _fail(waiting, GatewayError(TIMEOUT, f"no reply on {subject!r} within {seconds:g} s"))

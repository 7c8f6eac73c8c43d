"""The NATS side, on nats-py.

The proof that NATS accepted what was sent is a fence: a SUB to a new inbox and an empty PUB to it, behind everything
else on the same connection. NATS works off a connection in order, so each of these proves that it processed what came
before, and that its refusals have arrived: the message coming back, or a refusal of the SUB or of the PUB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nats.aio.client import Client as NatsLibraryClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from wsgw.channels.subjects import subject_problem
from wsgw.cli.address import Address
from wsgw.cli.clients.base import CLOSE_SECONDS, Received, Refused, Unavailable, first_of, say_goodbye

log = logging.getLogger(__name__)

_VIOLATION = "permissions violation"
_MAX_REFUSALS = 100


def _check_subject(subject: str, wildcards: bool) -> None:
    """Raise Refused for what NATS would silently not deliver."""
    problem = subject_problem(subject, wildcards=wildcards)
    if problem is not None:
        raise Refused(f"subject {subject!r} {problem}")


class NatsClient:
    """A client of a NATS server. ``user`` without ``password`` is a token."""

    one_channel_each = False

    def __init__(self, address: Address, timeout_seconds: float, user: str | None, password: str | None) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._user = user
        self._password = password
        self._connection = NatsLibraryClient()
        self._subscriptions: list[tuple[str, Subscription]] = []
        self._reset()

    def _reset(self) -> None:
        self._refusals: list[str] = []
        self._last_error = ""
        self._inbox = ""
        self._fenced = asyncio.Event()
        self._closed = asyncio.Event()

    async def subscribe(self, channels: Sequence[str]) -> None:
        for channel in channels:
            _check_subject(channel, wildcards=True)
        await self._open()
        try:
            self._subscriptions = [(channel, await self._connection.subscribe(channel)) for channel in channels]
        except Error as error:
            raise self._translated(error) from None
        await self._fence()

    async def listen(self, received: Received) -> None:
        await first_of(*(self._pump(channel, subscription, received) for channel, subscription in self._subscriptions))
        raise Unavailable(self._last_error or "the connection was closed")

    async def _pump(self, channel: str, subscription: Subscription, received: Received) -> None:
        async for message in subscription.messages:
            received(channel, message.data)

    async def connect(self, channels: Sequence[str]) -> None:
        for channel in channels:
            _check_subject(channel, wildcards=False)
        await self._open()

    async def publish(self, channel: str, payload: bytes) -> None:
        try:
            await self._connection.publish(channel, payload)
        except Error as error:
            raise self._translated(error) from None

    async def confirm(self) -> None:
        await self._fence()

    async def request(self, channel: str, payload: bytes) -> object:
        try:
            reply = await self._connection.request(channel, payload, timeout=self._timeout_seconds)
        except NoRespondersError:
            raise Refused(f"no responders: nobody answers requests on {channel!r}") from None
        except NatsTimeoutError:
            # NATS tells a refused request only beside it
            self._raise_refusals()
            raise Refused(f"no reply on {channel!r} within {self._timeout_seconds:g} s") from None
        except Error as error:
            raise self._translated(error) from None
        return reply.data

    async def close(self) -> None:
        await say_goodbye(CLOSE_SECONDS, self._connection.close())
        self._subscriptions = []

    async def _open(self) -> None:
        self._reset()
        self._connection = NatsLibraryClient()
        token = self._user if self._password is None else None
        try:
            await self._connection.connect(
                self._address.without_userinfo(),
                name="wsgw",
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                # a lost connection is given up and a new one opened: one way for all sides
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=2,
                user=None if token else self._user,
                password=self._password,
                token=token,
            )
        except (Error, OSError, ValueError) as error:
            raise self._translated(error) from None

    async def _fence(self) -> None:
        self._fenced.clear()
        inbox = self._connection.new_inbox()
        # errors name subjects in lower case
        self._inbox = inbox.lower()
        try:
            await self._connection.subscribe(inbox, cb=self._on_fence)
            await self._connection.publish(inbox, b"")
        except Error as error:
            raise self._translated(error) from None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await first_of(self._wait(self._fenced), self._wait(self._closed))
        except TimeoutError:
            raise Unavailable(f"NATS did not confirm within {self._timeout_seconds:g} s") from None
        self._raise_refusals()
        if not self._fenced.is_set():
            raise Unavailable(f"unknown whether accepted: {self._last_error or 'the connection was closed'}")

    @staticmethod
    async def _wait(event: asyncio.Event) -> None:
        await event.wait()

    async def _on_fence(self, message: Msg) -> None:
        self._fenced.set()

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        text = str(error).removeprefix("nats: ") or type(error).__name__
        self._last_error = text
        if self._inbox and self._inbox in text.lower():
            self._fenced.set()
        elif _VIOLATION in text.lower():
            if len(self._refusals) < _MAX_REFUSALS:
                self._refusals.append(text)
        elif self._connection.is_connected:
            log.warning("NATS: %s", text)

    def _raise_refusals(self) -> None:
        if self._refusals:
            raise Refused("NATS refused: " + "; ".join(dict.fromkeys(self._refusals)))

    def _translated(self, error: Exception) -> Refused | Unavailable:
        text = str(error).removeprefix("nats: ") or type(error).__name__
        if isinstance(error, MaxPayloadError):
            return Refused(f"the message is larger than max_payload of NATS, {self._connection.max_payload} bytes")
        if "authorization violation" in (text + self._last_error).lower():
            return Refused("NATS refused the user and password or the token")
        return Unavailable(self._last_error or text)

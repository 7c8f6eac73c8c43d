"""Trying to reach the other side, again and again with longer and longer pauses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wsgw.backoff import Backoff
from wsgw.cli.address import Address
from wsgw.cli.clients.base import Client, Refused, Unavailable

log = logging.getLogger(__name__)

#: Before each further attempt.
PAUSE_SECONDS = (0.1, 5.0)
_NO_ANSWER = "no answer"
#: What OpenSSL says of a certificate that none of the authorities that it knows has signed.
_UNKNOWN_AUTHORITY = ("unable to get local issuer certificate", "self-signed certificate")


class Reach:
    """Opens a client's connection: ``attempt`` is its ``subscribe`` or ``connect`` with the arguments bound."""

    def __init__(
        self, address: Address, client: Client, attempt: Callable[[], Awaitable[None]], timeout_seconds: float
    ) -> None:
        self._address = address
        self._client = client
        self._attempt = attempt
        self._timeout_seconds = timeout_seconds

    async def first(self) -> None:
        """Try until ``timeout_seconds`` are over. Raises Refused, then too."""
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        backoff = Backoff(*PAUSE_SECONDS)
        clock = asyncio.get_running_loop().time
        reason = ""
        while (said := await self._once(deadline)) is not None:
            if said != _NO_ANSWER or not reason:  # the deadline cuts the last one short, which then does not know why
                reason = said
            await asyncio.sleep(min(backoff.next(), max(0.0, deadline - clock())))
            if clock() >= deadline:
                raise Refused(f"cannot reach {self._address} within {self._timeout_seconds:g} s: {reason}")

    async def again(self) -> None:
        """Try for ever, each attempt for at most ``timeout_seconds``. Raises Refused."""
        backoff = Backoff(*PAUSE_SECONDS)
        while True:
            if await self._once(asyncio.get_running_loop().time() + self._timeout_seconds) is None:
                return
            await asyncio.sleep(backoff.next())

    async def _once(self, deadline: float) -> str | None:
        """None, or why the attempt failed."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._attempt()
                return None
        except Unavailable as error:
            reason = str(error)
            if any(words in reason for words in _UNKNOWN_AUTHORITY):
                reason += "; for an authority of your own set SSL_CERT_FILE to its certificate"
        except TimeoutError:
            reason = _NO_ANSWER
        await self._client.close()
        log.debug("%s: %s", self._address, reason)
        return reason

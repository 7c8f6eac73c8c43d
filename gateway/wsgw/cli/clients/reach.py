"""Trying to reach the other side, again and again with longer and longer pauses."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator

from wsgw.cli.address import Address
from wsgw.cli.clients.base import Client, Refused, Unavailable

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt: doubled each time, scattered so that clients do not come at once."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


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
        for pause in pauses():
            reason = await self._once(deadline)
            if reason is None:
                return
            if asyncio.get_running_loop().time() + pause >= deadline:
                raise Refused(f"cannot reach {self._address} within {self._timeout_seconds:g} s: {reason}")
            await asyncio.sleep(pause)

    async def again(self) -> None:
        """Try for ever, each attempt for at most ``timeout_seconds``. Raises Refused."""
        for pause in pauses():
            if await self._once(asyncio.get_running_loop().time() + self._timeout_seconds) is None:
                return
            await asyncio.sleep(pause)

    async def _once(self, deadline: float) -> str | None:
        """None, or why the attempt failed."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._attempt()
                return None
        except Unavailable as error:
            reason = str(error)
        except TimeoutError:
            reason = "no answer"
        await self._client.close()
        log.debug("%s: %s", self._address, reason)
        return reason

"""What the commands need from the other side, whichever it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from wsgw import tasks
from wsgw.errors import WsgwError

#: Closing says goodbye to the other side at most this long.
CLOSE_SECONDS = 1.0
#: The largest ``max_payload`` that nats-server takes: nothing larger can come from a gateway.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

Received = Callable[[str, object], None]
"""Called with a channel and a payload: bytes or str, or what else JSON can hold from a foreign Socket.IO server."""


class Refused(WsgwError):
    """The other side says no: trying again makes no sense."""


class Unavailable(WsgwError):
    """There is no connection, or none any more: trying again makes sense."""


class Client(Protocol):
    """One connection to one side, for consuming or for producing; it can be opened again after it was lost.

    Every method but ``close`` raises Refused and Unavailable, with a reason for the user.
    """

    #: True where a connection carries one channel only, so that each channel needs a client of its own.
    one_channel_each: bool

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Open the connection and subscribe: what is published from the return on will be received."""

    async def listen(self, received: Received) -> None:
        """Hand over all messages in order; ends only by raising, when the connection has ended."""

    async def connect(self, channels: Sequence[str]) -> None:
        """Open what is needed to publish on ``channels``."""

    async def publish(self, channel: str, payload: bytes) -> None:
        """Hand one message over; suspends while the other side takes no more."""

    async def confirm(self) -> None:
        """Return when the other side has accepted every message published so far. Nothing can be published after it."""

    async def request(self, channel: str, payload: bytes) -> object:
        """Send a request and return the reply."""

    async def close(self) -> None:
        """End the connection, if there is one, within CLOSE_SECONDS."""


async def first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them all until the first one ends, end the others and raise what it raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def say_goodbye(seconds: float, goodbye: Coroutine[Any, Any, object]) -> None:
    """Await what may fail or hang: after ``seconds`` it is ended."""
    with contextlib.suppress(Exception):
        await tasks.within(seconds, goodbye, "goodbye")

"""A program behind NATS, as a back-end developer writes it: publishes, listens, answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from helpers.waiting import DEADLINE_SECONDS


class Peer:
    """A connection to NATS. Open it with ``Peer.connect``."""

    def __init__(self, connection: Client) -> None:
        self.nats = connection

    @classmethod
    async def connect(cls, url: str, **options: object) -> Peer:
        """Connect to ``url``; ``options`` are those of ``nats.connect``."""

        async def error(_: Exception) -> None:
            """What tests do to the server must not print."""

        return cls(await nats.connect(url, error_cb=error, **options))

    async def close(self) -> None:
        """Disconnect."""
        await self.nats.close()

    async def listen(self, subject: str) -> list[bytes]:
        """The payloads that come on ``subject`` from now on: a list that grows."""
        payloads: list[bytes] = []
        await self._listen(subject, lambda message: payloads.append(message.data))
        return payloads

    async def messages(self, subject: str) -> list[Msg]:
        """The same, but whole: with headers and reply subjects."""
        messages: list[Msg] = []
        await self._listen(subject, messages.append)
        return messages

    async def publish(self, subject: str, *payloads: bytes | str) -> None:
        """Publish each payload, in order."""
        for payload in payloads:
            await self.nats.publish(subject, payload.encode() if isinstance(payload, str) else payload)

    async def store(self, subject: str, *payloads: object, headers: dict[str, str] | None = None) -> int:
        """Have a stream store each, as text, in order; the sequence of the last one."""
        sequence = 0
        for payload in payloads:
            answer = await self.nats.request(subject, str(payload).encode(), timeout=10, headers=headers)
            told = json.loads(answer.data)
            assert "error" not in told, told
            sequence = told["seq"]
        return sequence

    async def answer(self, subject: str, reply: Callable[[bytes], bytes]) -> None:
        """Reply to requests on ``subject`` from now on."""

        async def receive(message: Msg) -> None:
            await message.respond(reply(message.data))

        await self.nats.subscribe(subject, cb=receive)
        await self.fence()

    async def answer_with(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Reply ``payload`` with ``headers`` to requests on ``subject`` from now on."""

        async def receive(message: Msg) -> None:
            await self.nats.publish(message.reply, payload, headers=headers)

        await self.nats.subscribe(subject, cb=receive)
        await self.fence()

    async def fence(self) -> None:
        """Returns when the server has processed everything sent before (a flush does not prove that)."""
        returned = asyncio.Event()
        inbox = self.nats.new_inbox()

        async def receive(_: Msg) -> None:
            returned.set()

        subscription = await self.nats.subscribe(inbox, cb=receive)
        await self.nats.publish(inbox)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await returned.wait()
        await subscription.unsubscribe()

    async def _listen(self, subject: str, told: Callable[[Msg], None]) -> None:
        async def receive(message: Msg) -> None:
            told(message)

        await self.nats.subscribe(subject, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await self.fence()

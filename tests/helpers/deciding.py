"""A NATS service that says which client may do what, as a test wants it to."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

Answer = dict[str, Any] | bytes | None


class Deciding:
    """``decide`` makes answers, None for none; ``may_answer`` holds them; ``asked`` has the questions."""

    def __init__(self) -> None:
        self.subject = f"auth.{secrets.token_hex(8)}"
        self.asked: list[dict[str, Any]] = []
        self.decide: Callable[[dict[str, Any]], Answer] = lambda _: {"allow": True}
        self.headers: dict[str, str] | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.most = self._now = 0
        self._client: Client | None = None
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def option(self) -> dict[str, Any]:
        """The channel's."""
        return {"authorize": {"subject": self.subject, "timeout": "5s"}}

    async def start(self, url: str) -> None:
        self._client = await nats.connect(url)
        await self._client.subscribe(self.subject, cb=self._take)
        await self._client.flush()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._client is not None:
            await self._client.close()

    def deny(self, *verbs: str, info: str | None = None) -> None:
        """Deny these from now on, or all."""
        self.decide = lambda asked: {"allow": bool(verbs) and asked["verb"] not in verbs, "info": info}

    def verbs(self) -> list[tuple[str, str]]:
        """What was asked: channels and verbs."""
        return [(asked["channel"], asked["verb"]) for asked in self.asked]

    async def _take(self, message: Msg) -> None:
        self.asked.append(json.loads(message.data))
        task = asyncio.ensure_future(self._answer(message, self.asked[-1]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg, asked: dict[str, Any]) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await self.may_answer.wait()
        self._now -= 1
        answer = self.decide(asked)
        if answer is not None and self._client is not None:
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await self._client.publish(message.reply, payload, headers=self.headers)

"""Plain channels under faults: what a client does not get it is told, as a gap, or as so many that were dropped.

A publisher behind NATS sends numbers, each once, and notes which of them NATS has taken. Between two numbers that a
client got one after the other on the same connection, and without the word that something is missing, there may be
none that was taken; nor more than it was told were dropped.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chaos.clients import ChaosClient, SocketIOClient, SseClient, WebSocketClient
from chaos.field import CHANNEL, OUTBOX, PACE_SECONDS, SETTLED_SECONDS, THE_END, Field
from chaos.ledger import Account, number_of
from chaos.posts import Post, PostAccount
from chaos.publishers import Publisher


@dataclass(frozen=True, slots=True)
class Missing:
    """A word of the gateway: ``count`` were dropped; None: nobody knows how many. ``told`` is False of a connection."""

    count: int | None = None
    told: bool = True


GAP = Missing()
#: A new connection: what came before is not for it.
CONNECTED = Missing(told=False)
Heard = int | Missing


class PlainLedger:
    """``taken`` are the numbers that NATS has taken, ascending."""

    def __init__(self, taken: Sequence[int]) -> None:
        self._taken = taken

    def account(self, heard: Iterable[Heard]) -> Account:
        """What became of a client's part, up to the last number it got."""
        account = Account()
        last, excused, dropped = -1, True, 0
        for one in heard:
            if isinstance(one, Missing):
                account.told += one.told
                dropped += one.count or 0
                excused = excused or one.count is None
                continue
            account.delivered += 1
            if one <= last:
                account.doubled += one == last
                account.reordered += one < last
            elif not excused:
                between = one - last - 1
                taken = bisect_left(self._taken, one) - bisect_right(self._taken, last)
                account.unsaid += max(0, taken - dropped)
                account.wrong += dropped > between
            last, excused, dropped = one, False, 0
        return account


class PlainPublisher(Publisher):
    """Each message once; ``taken`` are the numbers of those that NATS is known to have."""

    def __init__(self, client: Client, channel: str) -> None:
        super().__init__("", lambda: 0, PACE_SECONDS)
        self.taken: list[int] = []
        self._client = client
        self._channel = channel

    async def _publish(self, post: Post, id: str) -> None:
        number = len(self.posts) - 1
        try:
            await self._client.publish(self._channel, post.payload)
            await self._client.flush(2)
            self.taken.append(number)
        except NatsError:
            await asyncio.sleep(0.02)


class PlainClient(ChaosClient):
    """``heard`` is what it got."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.heard: list[Heard] = []
        super().__init__(*arguments, **more)

    @property
    def joined(self) -> bool:
        return bool(self.heard)

    def _opened(self) -> None:
        self.heard.append(CONNECTED)

    def _hear(self, event: str, said: dict[str, Any]) -> None:
        if event == "gap":
            self.heard.append(GAP)
        elif event == "dropped":
            self.heard.append(Missing(said["dropped"]))
        elif "text" in said:
            number = number_of(said["text"].encode())
            self.heard.append(number)
            self.newest = max(self.newest, number)


class PlainWebSocket(PlainClient, WebSocketClient):
    def _said(self, said: dict[str, Any]) -> None:
        self._hear(said.get("event", ""), said)


class PlainSse(PlainClient, SseClient):
    def _said(self, event: str, id: str, data: str) -> None:
        if event == "message":
            self._hear("", {"text": data})
        elif event == "wsgw:error":
            super()._said(event, id, data)
        else:
            self._hear(event.removeprefix("wsgw:"), json.loads(data))


class PlainSocketIO(PlainClient, SocketIOClient):
    def _connected(self, pid: str) -> None:
        """It keeps none."""

    def _said(self, name: str, argument: Any, offset: str = "") -> None:
        if name == self.channel:
            self._hear("", {"text": argument})
        else:
            self._hear(name.removeprefix("wsgw:"), argument)


class PlainField(Field):
    """One channel that no stream holds."""

    kinds = (PlainWebSocket, PlainSse, PlainSocketIO)

    def channel_settings(self) -> dict[str, Any]:
        return {"name": CHANNEL, "direction": "both", "outbox": OUTBOX}

    def make_publishers(self, peer: Client) -> list[Publisher]:
        return [PlainPublisher(peer, CHANNEL)]

    async def settle(self) -> tuple[Account, PostAccount]:
        """Publish until every client has one of the last messages, and account for all."""
        await self.start_missing()
        await self.progress(5)
        await self.recovery()
        numbers = self.publishers[0]
        assert isinstance(numbers, PlainPublisher)
        await numbers.stop()
        last = len(numbers.posts)
        for client in self.clients:
            assert isinstance(client, PlainClient)

        until = time.monotonic() + SETTLED_SECONDS
        while any(client.newest < last for client in self.clients):  # who comes back just now has it the next time
            assert time.monotonic() < until, "not every client has a last message"
            await numbers.send(f"{len(numbers.posts)} {THE_END}")
            await asyncio.sleep(0.05)
        ledger = PlainLedger(numbers.taken)
        total = Account()
        for client in self.clients:
            assert isinstance(client, PlainClient)
            account = ledger.account(client.heard)
            if not account.good:
                print(f"\n{type(client).__name__}, far: {client.far}, ends: {dict(client.ends)}: {account}")
            total += account
        self.check_logs()
        return total, PostAccount()

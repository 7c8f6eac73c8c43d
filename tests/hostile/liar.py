"""A NATS server that lies: it speaks the protocol, up to the point where a test makes it say something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

INFO = b'INFO {"server_id":"liar","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576}\r\n'

#: What it does on a connection when something was published there; false where it does nothing more.
OnPublish = Callable[["LiarConnection"], Awaitable[None]]


class LiarConnection:
    """One that the gateway made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        #: sid by subject, wildcards and all
        self.subscriptions: dict[bytes, bytes] = {}

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def pour(self, unit: bytes, size: int) -> int:
        """``size`` bytes of ``unit``, or fewer where the gateway hangs up; how many."""
        poured = 0
        with suppress(OSError):
            while poured < size and not self.writer.is_closing():
                await self.say(unit)
                poured += len(unit)
        return poured

    def sid(self, subject: bytes) -> bytes | None:
        """Of a subscription that ``subject`` matches."""
        for pattern, sid in self.subscriptions.items():
            if pattern == subject or _matches(pattern.split(b"."), subject.split(b".")):
                return sid
        return None


class Liar:
    """Open it with ``start``. ``greeting`` is its first line; ``on_publish`` is asked after each publish it got."""

    def __init__(self, greeting: bytes = INFO, on_publish: OnPublish | None = None) -> None:
        self._greeting = greeting
        self._on_publish = on_publish
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.connections = 0
        self.url = ""

    async def __aenter__(self) -> Liar:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(LiarConnection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: LiarConnection) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await connection.say(self._greeting)
                while line := await connection.reader.readline():
                    await self._take(connection, line.split())
        finally:
            connection.writer.transport.abort()

    async def _take(self, connection: LiarConnection, words: list[bytes]) -> None:
        match [words[0].upper(), *words[1:]] if words else []:
            case [b"PING"]:
                await connection.say(b"PONG\r\n")
            case [b"SUB", subject, *_, sid]:
                connection.subscriptions[subject] = sid
            case [(b"PUB" | b"HPUB") as verb, subject, *rest]:
                payload = await connection.reader.readexactly(int(rest[-1]) + 2)
                if (known := connection.sid(subject)) is not None:
                    sizes = b" ".join(rest[-2:] if verb == b"HPUB" else rest[-1:])
                    head = b"HMSG" if verb == b"HPUB" else b"MSG"
                    await connection.say(b"%b %b %b %b\r\n%b" % (head, subject, known, sizes, payload))
                if self._on_publish is not None:
                    await self._on_publish(connection)


def _matches(pattern: list[bytes], subject: list[bytes]) -> bool:
    for number, token in enumerate(pattern):
        if token == b">":
            return len(subject) > number
        if number >= len(subject) or token not in (b"*", subject[number]):
            return False
    return len(pattern) == len(subject)

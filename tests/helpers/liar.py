"""A NATS server that lies: it serves the protocol as far as the gateway needs it, and says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from helpers.waiting import eventually


class Liar:
    """Start it with ``Liar.start``. ``connections`` are those that got their first fence back, newest last."""

    def __init__(self, info: dict[str, object]) -> None:
        #: what it greets with
        self.info = info
        self.connections: list[LiarConnection] = []
        #: connections that were tried
        self.tries = 0
        #: called with a connection when its first fence is back
        self.then: Callable[[LiarConnection], None] = lambda connection: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    _server: asyncio.Server
    url: str

    @classmethod
    async def start(cls, **info: object) -> Liar:
        """``info`` is what it says of itself."""
        made = cls(info)
        made._server = await asyncio.start_server(made._serve, "127.0.0.1", 0, limit=2**20)
        made.url = f"nats://127.0.0.1:{made._server.sockets[0].getsockname()[1]}"
        return made

    async def stop(self) -> None:
        """End it, and all connections."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def connected(self) -> LiarConnection:
        """The first connection, once it is there."""
        await eventually(lambda: self.connections, "a connection")
        return self.connections[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.tries += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                writer.write(b"INFO %b\r\n" % json.dumps(self.info).encode())
                await LiarConnection(self, reader, writer).run()
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._writers.discard(writer)


class LiarConnection:
    """One of its connections."""

    def __init__(self, liar: Liar, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._liar = liar
        self._reader = reader
        self._writer = writer
        #: subscriptions: number by subject
        self.subjects: dict[bytes, bytes] = {}
        #: what was published but fences: subject, reply subject, payload
        self.published: list[tuple[bytes, bytes, bytes]] = []
        #: fences that came
        self.fences = 0
        #: whether it answers them
        self.answers = True
        #: called for each subscription asked for; false is a refusal, by what ``says`` sent
        self.admits: Callable[[bytes], bool] = lambda subject: True
        self.inbox = b""

    def says(self, lines: bytes) -> None:
        """Send ``lines``."""
        self._writer.write(lines)

    def message(self, subject: bytes, payload: bytes, number: bytes | None = None, head: str = "MSG") -> None:
        """Send a message to the subscription that takes ``subject``, or that of ``number``."""
        number = number or self._number(subject)
        assert number is not None
        self.says(b"%b %b %b %d\r\n%b\r\n" % (head.encode(), subject, number, len(payload), payload))

    def close(self) -> None:
        """End it, once all that was said is sent."""
        self._writer.close()

    async def run(self) -> None:
        while line := await self._reader.readline():
            match line.split():
                case [b"PING"]:
                    self.says(b"PONG\r\n")
                case [b"SUB", subject, number]:
                    self._subscribed(subject, number)
                case [b"UNSUB", number]:
                    self.subjects = {subject: one for subject, one in self.subjects.items() if one != number}
                case [b"PUB", subject, *reply, size]:
                    payload = await self._reader.readexactly(int(size) + 2)
                    self._published(subject, reply[0] if reply else b"", payload[:-2])

    def _subscribed(self, subject: bytes, number: bytes) -> None:
        if not self.inbox:
            self.inbox = subject.removesuffix(b".*")
        if self.admits(subject):
            self.subjects[subject] = number

    def _published(self, subject: bytes, reply: bytes, payload: bytes) -> None:
        if not subject.startswith(self.inbox + b"."):
            self.published.append((subject, reply, payload))
            return
        self.fences += 1
        if self.answers:
            self.message(subject, b"")
        if self.fences == 1:
            self._liar.connections.append(self)
            self._liar.then(self)

    def _number(self, subject: bytes) -> bytes | None:
        return self.subjects.get(subject) or self.subjects.get(subject.rpartition(b".")[0] + b".*")

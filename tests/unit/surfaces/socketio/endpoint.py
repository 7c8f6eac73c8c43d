"""An Engine.IO endpoint whose sessions can be looked at, with ASGI and links by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.fanout.link import Receiver
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.longtext import Content
from wsgw.protocols.socketio.wire import SOCKETIO_WIRE
from wsgw.surfaces.socketio.engineio import EngineIOServer, Options
from wsgw.surfaces.socketio.session import EngineSession


class Service:
    """Keeps what it gets."""

    known = None

    def __init__(self, connection: EngineSession) -> None:
        self.connection = connection
        self.messages: list[Content] = []
        self.code: int | None = None
        self.on_message: Callable[[], None] = lambda: None

    def message_received(self, data: Content) -> None:
        self.messages.append(data)
        self.on_message()

    def closed(self, code: int) -> None:
        self.code = code


class FakeLink:
    """A link that keeps what it is told; ``full_after`` messages it pauses its receiver."""

    def __init__(self, receiver: Receiver, full_after: int = 1000) -> None:
        self.receiver = receiver
        self.written: list[bytes] = []
        self.full_after = full_after
        self.ended: int | None = None
        self.reading = True
        self.buffered = 0

    async def run(self) -> None: ...

    def write(self, item: Encoded) -> None:
        self.written += [message.data for message in item.messages]
        if len(self.written) >= self.full_after:
            self.receiver.writing_paused()

    def write_batch(self, batch: Batch) -> None:
        for item in batch.items:
            self.write(item)

    def buffered_bytes(self) -> int:
        return self.buffered

    def close(self, code: int, reason: str = "") -> None:
        self.ended = self.ended or code

    def abort(self) -> None:
        self.ended = 1006

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def stop_keepalive(self) -> None: ...

    def ask_before(self, may_take: Callable[[], bool]) -> None: ...


class Endpoint:
    """A server whose services can be looked at, and ASGI by hand."""

    def __init__(self, limits: dict[str, Any] | None = None, **options: Any) -> None:
        self.services: list[Service] = []
        self.accepting = True
        self.metrics = Metrics()
        self.server = EngineIOServer(
            self.service,
            Options(lambda: 1000, lambda: 1000, **options),
            edge=Edge(LimitsSettings(**(limits or {})), self.metrics),
            open_sender=lambda _, overflowed: Sender(SOCKETIO_WIRE, OutboxTotals(), overflowed),
        )
        self.sent: list[dict[str, Any]] = []

    def service(self, connection: EngineSession) -> Service:
        self.services.append(Service(connection))
        if self.accepting:
            connection.accepted()
        return self.services[-1]

    def open(self, *, websocket: bool, headers: tuple[tuple[bytes, bytes], ...] = ()) -> EngineSession:
        self.server._open(Handshake("/socket.io/", b"", headers, ""), websocket=websocket)
        return self.services[-1].connection

    async def call(self, scope: dict[str, Any], *events: dict[str, Any] | Exception) -> None:
        """One ASGI call that receives ``events`` and then nothing; an exception is what a send then raises."""
        coming = list(events)

        async def receive() -> Any:
            while not coming or isinstance(coming[0], Exception):
                await asyncio.Event().wait()
            return coming.pop(0)

        async def send(event: Any) -> None:
            if coming and isinstance(coming[0], Exception):
                raise coming[0]
            self.sent.append(event)

        base: dict[str, Any] = {"path": "/socket.io/", "headers": [], "query_string": b"", "client": None}
        await self.server({**base, **scope}, receive, send)


def polling(connection: EngineSession, method: str) -> dict[str, Any]:
    query = f"EIO=4&transport=polling&sid={connection.sid}".encode()
    return {"type": "http", "method": method, "query_string": query}


WEBSOCKET = {"type": "websocket", "query_string": b"EIO=4&transport=websocket"}

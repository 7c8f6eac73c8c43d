"""A server of answers without end, and its clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from helpers.event_stream import EventClient
from helpers.hearer import Hearer
from helpers.link_server import LinkServer
from helpers.waiting import eventually
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http import respond
from wsgw.transports.openstream import open_stream

HEADERS = [(b"content-type", b"text/event-stream")]


class Application:
    """Streams everything but ``/plain``, and HEAD; ``opened`` is called with each link before it runs."""

    def __init__(self) -> None:
        self.hearers: list[Hearer] = []
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.asked = 0
        self.failures: list[OSError] = []
        self.opened: Callable[[Hearer], None] = lambda hearer: None
        self.afterwards: Callable[[Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        self.asked += 1
        if scope["path"] == "/plain":
            await respond(send, 200, b"plain", {})
            return
        await self.may_open.wait()
        hearer = Hearer()
        try:
            link = await open_stream(scope, receive, send, hearer, HEADERS)
        except OSError as error:
            self.failures.append(error.with_traceback(None))
            return
        hearer.link = link
        self.opened(hearer)
        self.hearers.append(hearer)
        await link.run()
        if self.afterwards is not None:
            await self.afterwards(receive, send)


class Served:
    def __init__(self, direct: bool) -> None:
        self.direct = direct
        self.application = Application()
        self.server = LinkServer(self.application, direct=direct)
        self.clients: list[EventClient] = []

    async def client(self, receive_buffer_bytes: int | None = None) -> EventClient:
        client = EventClient(self.server.port, receive_buffer_bytes)
        self.clients.append(client)
        await client.connect()
        return client

    async def open(
        self, *headers: str, receive_buffer_bytes: int | None = None, version: str = "1.1"
    ) -> tuple[EventClient, Hearer]:
        """A client whose stream has begun with a comment, and what hears of it."""
        opened = len(self.application.hearers)
        client = await self.client(receive_buffer_bytes)
        await client.ask("/", *headers, version=version)
        await eventually(lambda: len(self.application.hearers) > opened, "it is opened")
        hearer = self.application.hearers[-1]
        hearer.write(b":\n\n")
        assert await client.answer() == 200
        return client, hearer

    @property
    def connections(self) -> set[Any]:
        return self.server.uvicorn.server_state.connections


async def serving(*, direct: bool) -> AsyncIterator[Served]:
    served = Served(direct)
    await served.server.start()
    async with asyncio.timeout(60):
        yield served
        for client in served.clients:
            client.close()
        await served.server.stop()

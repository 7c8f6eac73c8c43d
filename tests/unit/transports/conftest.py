"""Servers whose WebSockets are links, and bare clients of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from helpers.http_server import HttpServer
from helpers.link_server import Application, LinkServer, Recorder
from helpers.loops import gateway_loop
from helpers.raw_websocket import RawWebSocket


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """These run on the loop that the gateway has: its transports are not Python's, and TLS least of all."""
    return {"uvloop": gateway_loop}


class Served:
    """``application`` on a uvicorn that is started with the first client; everything is ended at the end."""

    def __init__(self, direct: bool) -> None:
        self.direct = direct
        self.application = Application()
        self.options: dict[str, Any] = {"ws_ping_interval": None}
        self.server: LinkServer | None = None
        self._clients: list[RawWebSocket] = []

    async def client(
        self, receive_buffer_bytes: int | None = None, behind: bytes = b"", headers: dict[str, str] | None = None
    ) -> RawWebSocket:
        """A client whose handshake is on its way, with ``behind`` in the same segment."""
        if self.server is None:
            self.server = LinkServer(self.application, direct=self.direct, **self.options)
            await self.server.start()
        client = RawWebSocket(self.server.port, receive_buffer_bytes=receive_buffer_bytes)
        self._clients.append(client)
        await client.connect(behind, headers)
        return client

    async def open(self, receive_buffer_bytes: int | None = None) -> tuple[RawWebSocket, Recorder]:
        """A client and what the server's side of it hears."""
        client = await self.client(receive_buffer_bytes)
        assert (await client.shake_hands()).status_code == 101
        return client, await self.application.receiver(len(self._clients) - 1)

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        if self.server is not None:
            await self.server.stop()


@pytest.fixture
async def direct() -> AsyncIterator[Served]:
    """The fast way: our protocol class."""
    served = Served(direct=True)
    async with asyncio.timeout(60):
        yield served
        await served.stop()


@pytest.fixture
async def asgi() -> AsyncIterator[Served]:
    """The way that any ASGI server has."""
    served = Served(direct=False)
    async with asyncio.timeout(60):
        yield served
        await served.stop()


@pytest.fixture(params=["direct", "asgi"])
def served(request: pytest.FixtureRequest) -> Any:
    """Both ways."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[HttpServer]]]:
    made: list[HttpServer] = []

    async def start(**limits: Any) -> HttpServer:
        server = HttpServer(**limits)
        await server.server.start()
        made.append(server)
        return server

    yield start
    for server in made:
        await server.close()
        assert server.edge.memory.used_bytes == 0, "what waited is not counted any more"


@pytest.fixture
async def server(serve: Callable[..., Awaitable[HttpServer]]) -> HttpServer:
    return await serve()

"""The application in this process, on a NATS server: for tests that look inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from helpers.event_stream import EventClient
from helpers.identities import AUTH
from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.raw_websocket import RawWebSocket
from helpers.waiting import eventually
from wsgw.access.authenticator import Authenticator
from wsgw.app import create_app
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.core.gateway import Gateway

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "BOTH", "direction": "both"},
    {"name": "chat.*", "direction": "both", "subject": "rooms.*"},
    {"name": "SUM", "direction": "request", "subject": "math.sum", "timeout": "500ms"},
]


class Running:
    """``gateway`` and its ``app``; ``http`` asks it, ``websocket`` and ``stream`` open clients."""

    def __init__(self, app: FastAPI, server: LinkServer, http: httpx.AsyncClient) -> None:
        self.app = app
        self.server = server
        self.http = http
        self.gateway: Gateway = app.state.gateway
        self._clients: list[RawWebSocket | EventClient] = []

    def value(self, name: str, **labels: str) -> float:
        return value(self.gateway.metrics, name, **labels)

    async def websocket(self, path: str, receive_buffer_bytes: int | None = None) -> RawWebSocket:
        """A client that has had its answer to the handshake."""
        client = RawWebSocket(self.server.port, path, receive_buffer_bytes)
        self._clients.append(client)
        await client.connect()
        await client.shake_hands()
        return client

    async def stream(self, path: str, *headers: str, receive_buffer_bytes: int | None = None) -> EventClient:
        """A client of ``path`` that has the head of its answer."""
        client = await self.event_client(receive_buffer_bytes)
        await client.ask(path, *headers)
        await client.answer()
        return client

    async def event_client(self, receive_buffer_bytes: int | None = None) -> EventClient:
        """A client that is connected, and has asked nothing."""
        client = EventClient(self.server.port, receive_buffer_bytes)
        self._clients.append(client)
        await client.connect()
        return client

    async def idle(self, transport: str) -> None:
        """Returns when no connection is left, of ``transport`` in the metrics either, and last callbacks have run."""
        await eventually(lambda: not self.value("wsgw_connections", transport=transport), "it is gone")
        await eventually(lambda: not self.server.uvicorn.server_state.connections, "so is its connection")
        await eventually(lambda: not self.server.uvicorn.server_state.tasks, "and what answered")
        for _ in range(5):
            await asyncio.sleep(0)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def running(
    nats_url: str,
    *,
    direct: bool = True,
    ready: bool = True,
    channels: Any = None,
    authenticator: Authenticator | None = None,
    **values: Any,
) -> AsyncIterator[Running]:
    """A gateway with ``CHANNELS`` unless told, ready unless told not to wait for that."""
    if authenticator is not None:
        values.setdefault("auth", AUTH)
    file = ConfigFile("test", {"channels": CHANNELS if channels is None else channels, **values})
    app = create_app(load({"nats": {"servers": [nats_url]}, "drain_seconds": 1}, {}, file), authenticator)
    server = LinkServer(app, direct=direct, edge_of=lambda: app.state.gateway.edge, lifespan="on")
    await server.start()
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=30) as http,
    ):
        made = Running(app, server, http)
        try:
            if ready:
                await eventually(lambda: made.gateway.readiness().ready, "ready")
            yield made
        finally:
            made.close()
            await made.gateway.drain.run()
            await server.stop()

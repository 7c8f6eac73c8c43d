"""The application in this process, on a NATS server: for tests that look inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.raw_websocket import RawWebSocket
from helpers.waiting import eventually
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
    """``gateway`` and its ``app``; ``http`` asks it, ``websocket`` opens clients."""

    def __init__(self, app: FastAPI, server: LinkServer, http: httpx.AsyncClient) -> None:
        self.app = app
        self.server = server
        self.http = http
        self.gateway: Gateway = app.state.gateway
        self._clients: list[RawWebSocket] = []

    def value(self, name: str, **labels: str) -> float:
        return value(self.gateway.metrics, name, **labels)

    async def websocket(self, path: str, receive_buffer_bytes: int | None = None) -> RawWebSocket:
        """A client that has had its answer to the handshake."""
        client = RawWebSocket(self.server.port, path, receive_buffer_bytes)
        self._clients.append(client)
        await client.connect()
        await client.shake_hands()
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def running(
    nats_url: str, *, direct: bool = True, ready: bool = True, channels: Any = None, **values: Any
) -> AsyncIterator[Running]:
    """A gateway with ``CHANNELS`` unless told, ready unless told not to wait for that."""
    file = ConfigFile("test", {"channels": CHANNELS if channels is None else channels, **values})
    app = create_app(load({"nats": {"servers": [nats_url]}, "drain_seconds": 1}, {}, file))
    server = LinkServer(app, direct=direct, lifespan="on")
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

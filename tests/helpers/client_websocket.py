"""Plain WebSocket, by the Python library ``websockets``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.client import Refused
from helpers.gateway import GatewayProcess
from helpers.waiting import DEADLINE_SECONDS
from wsgw.errors import HTTP_ONLY, KINDS


class WebSocketClient:
    """A connection for each channel. Implements ``Client``."""

    upgraded = True

    def __init__(self, gateway: GatewayProcess) -> None:
        self.received: list[tuple[str, str | bytes]] = []
        self._gateway = gateway
        self._connections: dict[str, ClientConnection] = {}
        self._readers: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        return all(connection.close_code is None for connection in self._connections.values())

    async def join(self, channel: str) -> None:
        """Open the connection of ``channel``; raises Refused."""
        connection = await connect(
            self._gateway.websocket(quote(channel, safe="")),
            proxy=None,
            compression=None,
            max_size=None,
            max_queue=None,
            close_timeout=DEADLINE_SECONDS,
        )
        self._connections[channel] = connection
        self._readers.append(asyncio.create_task(self._read(channel, connection)))
        with suppress(ConnectionClosed):
            await (await connection.ping())  # answered only after a refusal would have come
        if connection.close_code is not None:
            raise Refused(error_of(connection))

    async def send(self, channel: str, payload: str | bytes) -> None:
        if channel not in self._connections:
            with suppress(Refused):  # told by confirm
                await self.join(channel)
        with suppress(ConnectionClosed):
            await self._connections[channel].send(payload)

    async def confirm(self) -> list[str]:
        await self.close()
        return [error_of(connection) for connection in self._connections.values() if connection.close_code != 1000]

    async def request(self, channel: str, payload: str | bytes) -> str | bytes:
        await self.join(channel)
        raise AssertionError("the gateway takes a plain WebSocket to a request channel")

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        await asyncio.gather(*self._readers)

    async def vanish(self) -> None:
        for connection in self._connections.values():
            connection.transport.abort()

    async def _read(self, channel: str, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for payload in connection:
                self.received.append((channel, payload))


class WebSocketTransport:
    """Implements ``Transport``."""

    name = "websocket"
    acks = False
    upgrades = False

    def __init__(self) -> None:
        self._clients: list[WebSocketClient] = []

    async def open(
        self, gateway: GatewayProcess, *channels: str, everything: bool = False, alone: bool = False
    ) -> WebSocketClient:
        client = WebSocketClient(gateway)
        self._clients.append(client)
        for channel in channels:
            await client.join(channel)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


def error_of(connection: ClientConnection) -> str:
    """The first error of the gateway's table that has the connection's close code."""
    code = connection.close_code
    kinds = (kind.name for kind in KINDS if kind.close_code == code and kind not in HTTP_ONLY)
    return next(kinds, f"close code {code}")

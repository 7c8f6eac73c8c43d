"""Clients with tokens, of every protocol, on a gateway in this process."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from urllib.parse import quote, urlencode

from socketio.exceptions import ConnectionError as SioConnectionError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.client_socketio import SocketIOClient
from helpers.event_stream import payload_of
from helpers.running import Running
from helpers.waiting import DEADLINE_SECONDS


class Someone:
    """A client with ``token``; what came is in ``payloads``, the error's name of a refusal in ``refused``."""

    def __init__(self, served: Running, token: str) -> None:
        self.served = served
        self.token = token
        self.payloads: list[str | bytes] = []
        self.refused = ""

    async def open(self, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class OnWebSocket(Someone):
    connection: ClientConnection
    reading: asyncio.Task[None]

    async def open(self, name: str) -> None:
        url = f"ws://127.0.0.1:{self.served.server.port}/ws/{quote(name)}?token={self.token}"
        self.connection = await connect(url, proxy=None)
        self.reading = asyncio.create_task(self._read())
        with suppress(ConnectionClosed):
            await (await self.connection.ping())
        if self.connection.close_code is not None:
            self.refused = {4503: "forbidden"}[self.connection.close_code]

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for message in self.connection:
                self.payloads.append(message)

    async def close(self) -> None:
        await self.connection.close()
        await self.reading


class OnSocketIO(Someone):
    transports = ("websocket",)

    async def open(self, name: str) -> None:
        self.client = SocketIOClient()
        url = f"http://127.0.0.1:{self.served.server.port}?" + urlencode({"channels": name, "token": self.token})
        try:
            await self.client.sio.connect(url, transports=[*self.transports], wait_timeout=DEADLINE_SECONDS)
        except SioConnectionError:
            self.refused = self.client._refusal["data"]["error"]["code"]
        self.client.sio.on(name, lambda payload: self.payloads.append(payload))

    async def close(self) -> None:
        await self.client.close()


class OnPolling(OnSocketIO):
    transports = ("polling",)


class OnEvents(Someone):
    async def open(self, name: str) -> None:
        self.stream = await self.served.stream(f"/sse/{quote(name)}?token={self.token}")
        self.reading = asyncio.create_task(self._read())
        if self.stream.status != 200:
            self.refused = json.loads(await self.stream.body())["error"]["code"]

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while self.stream.status == 200:
                self.payloads.append(payload_of(await self.stream.next()))

    async def close(self) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        self.stream.close()


KINDS: dict[str, type[Someone]] = {
    "websocket": OnWebSocket,
    "sio-websocket": OnSocketIO,
    "sio-polling": OnPolling,
    "sse": OnEvents,
}

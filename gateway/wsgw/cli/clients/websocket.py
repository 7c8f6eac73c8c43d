"""The plain WebSocket side, on the ``websockets`` library: ``/ws/{channel}``, a frame is a payload.

The closing handshake is the acknowledgement: a server answers the close with 1000 if it accepted every message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from wsgw.cli import jsontext
from wsgw.cli.address import Address
from wsgw.cli.clients.base import CLOSE_SECONDS, MAX_MESSAGE_BYTES, Received, Refused, Unavailable, say_goodbye
from wsgw.closecodes import ABNORMAL, NORMAL

_RETRY_STATUSES = frozenset({408, 425, 429})


class WebSocketClient:
    """A client of a gateway's WebSocket endpoint; a connection for each channel."""

    one_channel_each = True

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._connections: dict[str, ClientConnection] = {}
        self._drains: list[asyncio.Task[None]] = []

    async def subscribe(self, channels: Sequence[str]) -> None:
        (channel,) = channels
        await self._open(channel, "receive=1")

    async def listen(self, received: Received) -> None:
        ((channel, connection),) = self._connections.items()
        with contextlib.suppress(ConnectionClosed):
            async for payload in connection:
                received(channel, payload)
        raise _ended(channel, connection)

    async def connect(self, channels: Sequence[str]) -> None:
        for channel in channels:
            await self._open(channel)
            # unread messages of a channel that goes both ways would stop the reading of the close frame
            self._drains.append(asyncio.create_task(_drain(self._connections[channel])))

    async def publish(self, channel: str, payload: bytes) -> None:
        connection = self._connections[channel]
        text = jsontext.as_text(payload)
        try:
            await connection.send(payload if text is None else text)
        except ConnectionClosed:
            raise _ended(channel, connection) from None

    async def confirm(self) -> None:
        for channel, connection in self._connections.items():
            await connection.close()
            if connection.close_code != NORMAL:
                raise _ended(channel, connection)

    async def request(self, channel: str, payload: bytes) -> object:
        raise Refused("requests are not possible over plain WebSocket: use http(s):// or nats://")

    async def close(self) -> None:
        connections, drains = list(self._connections.values()), self._drains
        self._connections, self._drains = {}, []
        await say_goodbye(CLOSE_SECONDS, _close_all(connections))
        for task in drains:
            task.cancel()
        await asyncio.gather(*drains, return_exceptions=True)

    async def _open(self, channel: str, more: str = "") -> None:
        parts = self._address.parts
        path = f"{parts.path.rstrip('/')}/ws/{quote(channel, safe='')}"
        query = "&".join(filter(None, (parts.query, more)))
        url = parts._replace(path=path, query=query, fragment="").geturl()
        token = self._address.token
        offered = None if token is None else [Subprotocol("bearer"), Subprotocol(token)]
        try:
            self._connections[channel] = await connect(
                url,
                subprotocols=offered,
                proxy=None,
                open_timeout=None,
                close_timeout=self._timeout_seconds,
                max_size=MAX_MESSAGE_BYTES,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            text = f"HTTP {status} for {channel!r}: {error.response.body[:500].decode(errors='replace').strip()}"
            kind = Unavailable if status >= 500 or status in _RETRY_STATUSES else Refused
            raise kind(text.rstrip(": ")) from None
        except (OSError, EOFError, WebSocketException) as error:
            raise Unavailable(str(error) or type(error).__name__) from None


async def _drain(connection: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass


async def _close_all(connections: list[ClientConnection]) -> None:
    try:
        await asyncio.gather(*(connection.close() for connection in connections))
    finally:
        for connection in connections:
            connection.transport.abort()


def _ended(channel: str, connection: ClientConnection) -> Refused | Unavailable:
    """What the end of the connection means: 4500 to 4999 is a no, by the gateway's table of errors."""
    code = connection.close_code or ABNORMAL
    reason = connection.close_reason or ("no closing handshake" if code == ABNORMAL else "")
    kind = Refused if 4500 <= code <= 4999 else Unavailable
    return kind(f"{channel!r} was closed with code {code}" + (f": {reason}" if reason else ""))

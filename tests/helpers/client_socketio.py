"""Socket.IO, by python-socketio's client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
import socketio

from helpers.client import Refused
from helpers.gateway import GatewayProcess
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.channels.channel import RESERVED_PREFIX

_TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
_quiet = logging.getLogger("socketio.tests")
_quiet.setLevel(logging.CRITICAL)


class SocketIOClient:
    """Implements ``Client``."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | bytes]] = []
        self.events: list[tuple[object, ...]] = []  # as they came, with all their arguments
        self._connector = aiohttp.TCPConnector()
        self._http = aiohttp.ClientSession(connector=self._connector)
        self._acks: list[asyncio.Future[tuple[object, ...]]] = []
        self._refusal: Any = None
        self.sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=self._http,
            request_timeout=DEADLINE_SECONDS,
            websocket_extra_options={"max_msg_size": 0},
            logger=_quiet,
            engineio_logger=_quiet,
        )
        self.sio.on("*", self._event)
        self.sio.on("connect_error", self._connect_error)

    @property
    def connected(self) -> bool:
        connected: bool = self.sio.connected
        return connected

    @property
    def upgraded(self) -> bool:
        transport: str = self.sio.transport()
        return transport == "websocket"

    async def join(self, gateway: GatewayProcess, channels: tuple[str, ...] | None, transports: list[str]) -> None:
        """Connect; raises Refused."""
        query = "" if channels is None else "?" + urlencode({"channels": ",".join(channels)})
        try:
            await self.sio.connect(gateway.url + query, transports=transports, wait_timeout=DEADLINE_SECONDS)
        except socketio.exceptions.ConnectionError:
            if not isinstance(self._refusal, dict) or "data" not in self._refusal:  # its handshake was refused
                raise
            raise Refused(self._refusal["data"]["error"]["code"]) from None

    async def emit(self, channel: str, *arguments: object) -> asyncio.Future[tuple[object, ...]]:
        """Emit an event with any arguments; the future gets its ack's."""
        ack: asyncio.Future[tuple[object, ...]] = asyncio.get_running_loop().create_future()
        await self.sio.emit(channel, arguments, callback=lambda *answer: ack.set_result(answer))
        return ack

    async def send(self, channel: str, payload: str | bytes) -> None:
        self._acks.append(await self.emit(channel, payload))

    async def confirm(self) -> list[str]:
        acks, self._acks = self._acks, []
        await eventually(lambda: not self.connected or all(ack.done() for ack in acks), "an ack of every message")
        assert self.connected, "the gateway closed the connection"
        return [code for ack in acks if (code := error_of(ack.result())) is not None]

    async def request(self, channel: str, payload: str | bytes) -> str | bytes:
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await (await self.emit(channel, payload))
        return reply_of(answer)

    async def close(self) -> None:
        if not self._http.closed:
            await self.sio.disconnect()
            await self.vanish()

    async def vanish(self) -> None:
        await self._connector.close()
        await self._http.close()
        # left alone they notice after half a minute
        loops = [task for task in (self.sio.eio.read_loop_task, self.sio.eio.write_loop_task) if task is not None]
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def _event(self, event: str, *arguments: Any) -> None:
        self.events.append((event, *arguments))
        if not event.startswith(RESERVED_PREFIX):
            self.received.append((event, arguments[0] if arguments else ""))

    def _connect_error(self, data: object) -> None:
        self._refusal = data


class SocketIOTransport:
    """Implements ``Transport``."""

    acks = True

    def __init__(self, how: Literal["websocket", "polling", "upgrade"]) -> None:
        self.name = f"sio-{how}"
        self.upgrades = how == "upgrade"
        self._transports = _TRANSPORTS[how]
        self._clients: list[SocketIOClient] = []

    async def open(
        self, gateway: GatewayProcess, *channels: str, everything: bool = False, alone: bool = False
    ) -> SocketIOClient:
        client = SocketIOClient()
        self._clients.append(client)
        await client.join(gateway, None if everything else channels, self._transports)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


def error_of(answer: tuple[object, ...] | list[object]) -> str | None:
    """The error's name in an ack, None where it is exactly ``true``; anything else is a broken promise."""
    if len(answer) == 1 and answer[0] is True:
        return None
    assert len(answer) == 1, answer
    body = answer[0]
    assert isinstance(body, dict), answer
    assert body.keys() == {"error"}, answer
    of_service = {"service_code"} if body["error"]["code"] == "service_error" else set()
    assert body["error"].keys() - of_service == {"code", "message"}, answer
    code = body["error"]["code"]
    assert isinstance(code, str)
    return code


def reply_of(answer: tuple[object, ...] | list[object]) -> str | bytes:
    """The reply in an ack; raises Refused."""
    assert len(answer) == 1, answer
    reply = answer[0]
    if isinstance(reply, str | bytes):
        return reply
    raise Refused(error_of(answer) or "")

"""The Socket.IO side, on python-socketio's client with its default transports: polling, then WebSocket.

An event's name is the channel. An ack is ``true``, a reply, or ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import socketio

from wsgw.cli import jsontext
from wsgw.cli.address import Address
from wsgw.cli.clients.base import CLOSE_SECONDS, MAX_MESSAGE_BYTES, Received, Refused, Unavailable, say_goodbye

#: Names that mean something to Socket.IO itself and so can be no event.
_RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})
_MAX_UNACKED_MESSAGES = 256


class SocketIOClient:
    """A client of a gateway's Socket.IO endpoint."""

    one_channel_each = False

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._http: aiohttp.ClientSession | None = None
        self._ended: asyncio.Task[None] | None = None
        self._unacked: deque[tuple[str, asyncio.Future[object]]] = deque()
        self._refusal: object = None
        self._channels: frozenset[str] = frozenset()
        self._received: Received | None = None
        # what comes between the end of subscribe() and listen(), a few turns of the loop
        self._early: deque[tuple[str, object]] = deque()
        # it would print what we report ourselves
        self._quiet = logging.getLogger("socketio.wsgw")
        self._quiet.setLevel(logging.CRITICAL)

    async def subscribe(self, channels: Sequence[str]) -> None:
        self._channels = frozenset(channels)
        await self._open(channels, [("channels", ",".join(channels))])

    async def listen(self, received: Received) -> None:
        while self._early:
            received(*self._early.popleft())
        self._received = received
        await self._until_ended()

    async def connect(self, channels: Sequence[str]) -> None:
        self._channels = frozenset()
        await self._open(channels, [("channels", "")])  # a producer receives nothing

    async def publish(self, channel: str, payload: bytes) -> None:
        self._unacked.append((channel, await self._emit(channel, payload)))
        while self._unacked and (self._unacked[0][1].done() or len(self._unacked) >= _MAX_UNACKED_MESSAGES):
            await self._first_ack()

    async def confirm(self) -> None:
        while self._unacked:
            await self._first_ack()

    async def request(self, channel: str, payload: bytes) -> object:
        reply = await self._ack(channel, await self._emit(channel, payload))
        if reply is True:
            raise Refused(f"{channel!r} is no request channel: the message was accepted, there is no reply")
        return reply

    async def close(self) -> None:
        self._unacked.clear()
        if self._http is not None:
            await say_goodbye(CLOSE_SECONDS, self._sio.disconnect())
            # it ends the connections that a polling client leaves open
            await self._http.close()
            self._http = None
        if self._ended is not None:
            self._ended.cancel()
            await asyncio.wait({self._ended})
            self._ended = None

    async def _open(self, channels: Sequence[str], query: list[tuple[str, str]]) -> None:
        for channel in channels:
            if channel in _RESERVED:
                raise Refused(f"{channel!r} can be no channel over Socket.IO: the protocol uses the name itself")
        self._refusal = None
        self._received = None
        self._early.clear()
        self._http = aiohttp.ClientSession()
        self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=self._http,
            request_timeout=self._timeout_seconds,
            websocket_extra_options={"max_msg_size": MAX_MESSAGE_BYTES},
            logger=self._quiet,
            engineio_logger=self._quiet,
        )
        self._sio.on("*", self._on_event)
        self._sio.on("connect_error", self._on_connect_error)
        parts = self._address.parts
        url = parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *query])).geturl()
        path = f"{parts.path.strip('/')}/socket.io".lstrip("/")
        try:
            token = self._address.token
            auth = None if token is None else {"token": token}
            await self._sio.connect(url, socketio_path=path, auth=auth, wait_timeout=self._timeout_seconds)
        # what answers may be no Engine.IO server at all: the library then fails in many ways
        except Exception as error:
            if self._sio.failed_namespaces:
                raise self._refused() from None
            raise Unavailable(str(error) or type(error).__name__) from None
        # the one sign of every kind of end; "disconnect" is not told for an end right after CONNECT
        self._ended = asyncio.create_task(self._sio.eio.wait())

    async def _until_ended(self) -> None:
        assert self._ended is not None
        await asyncio.wait({self._ended})
        raise self._refused() if self._refusal is not None else Unavailable("the connection was closed")

    async def _emit(self, channel: str, payload: bytes) -> asyncio.Future[object]:
        text = jsontext.as_text(payload)
        ack: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def on_ack(*arguments: object) -> None:
            if not ack.done():
                ack.set_result(arguments[0] if arguments else None)

        if self._ended is None or self._ended.done():
            await self._until_ended()
        try:
            await self._sio.emit(channel, payload if text is None else text, callback=on_ack)
        except socketio.exceptions.SocketIOError as error:
            raise Unavailable(str(error)) from None
        return ack

    async def _first_ack(self) -> None:
        await self._ack(*self._unacked.popleft())

    async def _ack(self, channel: str, ack: asyncio.Future[object]) -> object:
        assert self._ended is not None
        either: set[asyncio.Future[Any]] = {ack, self._ended}
        await asyncio.wait(either, timeout=self._timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not ack.done():
            if self._ended.done():
                raise Unavailable(f"unknown whether {channel!r} accepted: the connection was closed")
            raise Unavailable(f"no ack on {channel!r} within {self._timeout_seconds:g} s")
        answer = ack.result()
        if isinstance(answer, dict) and "error" in answer:
            raise Refused(f"{channel!r}: {_sentence(answer['error'])}")
        return answer

    def _on_event(self, event: str, *arguments: object) -> None:
        if event not in self._channels:
            return
        payload = arguments[0] if arguments else None
        if self._received is None:
            self._early.append((event, payload))
        else:
            self._received(event, payload)

    def _on_connect_error(self, data: object = None) -> None:
        self._refusal = data if data is not None else "no reason given"

    def _refused(self) -> Refused:
        data = self._refusal
        if isinstance(data, dict):
            inner = data.get("data")
            data = inner["error"] if isinstance(inner, dict) and "error" in inner else data.get("message", data)
        return Refused(f"the connection was refused: {_sentence(data)}")


def _sentence(error: object) -> str:
    """An error object of the gateway, or whatever else came in its place."""
    if isinstance(error, dict) and "code" in error and "message" in error:
        return f"{error['code']}: {error['message']}"
    return error if isinstance(error, str) else jsontext.quoted(error)

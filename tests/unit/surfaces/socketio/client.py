"""A client of the namespace ``/`` below which there is no Engine.IO."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from helpers.fanout import no_overflow
from helpers.running import Running
from helpers.waiting import eventually
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.packets import SOCKETIO_WIRE
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.channels import ChannelsNamespace


class Client:
    """A Socket.IO client below whose ``Multiplexer`` there is no Engine.IO: packets are put in and taken out."""

    def __init__(self, served: Running, query: dict[str, str]) -> None:
        gateway = served.gateway
        self.namespace = ChannelsNamespace(gateway)
        self.sender = gateway.sender(SOCKETIO_WIRE, no_overflow)
        handshake = Handshake("/socket.io/", urlencode(query).encode(), (), "")
        self.sockets = Multiplexer(self, self.sender, handshake, {"/": self.namespace}, lambda: 10 * 1024 * 1024)
        self.ended: list[tuple[str, int]] = []
        self.packets: list[Any] = []
        self.held: list[bool] = []
        self._task: asyncio.Task[None] | None = None

    def connect(self, socket: Socket, auth: Json | None) -> None:
        self._task = asyncio.get_running_loop().create_task(self._connect(socket, auth))

    def give_up(self, socket: Socket) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _connect(self, socket: Socket, auth: Json | None) -> None:
        try:
            handler = await self.namespace.connect(socket, auth)
        except ConnectRefused as refusal:
            self.sockets.refuse(socket, refusal)
        else:
            self.sockets.accept(socket, handler)

    def close(self, code: int) -> None:
        self.ended.append(("close", code))
        self.sockets.closed(code)

    def fail(self, code: int) -> None:
        self.ended.append(("fail", code))
        self.sockets.closed(code)

    def hold(self) -> None:
        self.held.append(True)

    def release(self) -> None:
        self.held.append(False)

    def send(self, data: str | bytes) -> None:
        self.sockets.message_received(data)

    async def opened(self) -> str:
        """Connect; the answer."""
        self.send("0")
        assert self._task is not None
        await self._task
        return str((await self.received(1))[0])

    async def received(self, count: int) -> list[Any]:
        """The next ``count`` messages to the client."""
        self.packets.clear()

        def enough() -> object:
            for item in self.sender.take(10**6, 10**9):
                self.packets += [m.data.decode() if m.text else m.data for m in item.messages]
            return len(self.packets) >= count or self.ended

        await eventually(enough, f"{count} messages, got {self.packets}")
        assert len(self.packets) == count
        return list(self.packets)

    async def ack(self, packet: str, *attachments: bytes) -> Any:
        """Send an event with id 7; what its ack carries."""
        self.send(packet)
        for attachment in attachments:
            self.send(attachment)
        answer = str((await self.received(1))[0])
        assert answer.startswith("437["), answer
        (argument,) = json.loads(answer[3:])
        return argument

    async def error(self, packet: str, *attachments: bytes) -> str:
        return str((await self.ack(packet, *attachments))["error"]["code"])

    async def stop(self) -> None:
        self.sockets.closed(1006)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

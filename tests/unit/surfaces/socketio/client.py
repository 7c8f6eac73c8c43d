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
from wsgw.protocols.longtext import LONG_TEXT_BYTES, LongText
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.namespace import ChannelsNamespace
from wsgw.surfaces.socketio.recovery import open_sender


class Client:
    """A Socket.IO client below whose ``Multiplexer`` there is no Engine.IO: packets are put in and taken out."""

    def __init__(self, served: Running, query: dict[str, str]) -> None:
        gateway = served.gateway
        self.namespace = ChannelsNamespace(gateway)
        handshake = Handshake("/socket.io/", urlencode(query).encode(), (), "")
        self.sender = open_sender(gateway, handshake, no_overflow)
        self.sockets = Multiplexer(
            self,
            self.sender,
            handshake,
            {"/": self.namespace},
            lambda: 10 * 1024 * 1024,
            lambda: gateway.max_payload_bytes,
        )
        self.ended: list[tuple[str, int]] = []
        self.packets: list[Any] = []
        self.held: list[bool] = []
        self.needless_packets = 0
        self.kept_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def accepted(self) -> None: ...

    def needless(self, count: int = 1) -> None:
        self.needless_packets += count

    def keep(self, size: int) -> None:
        self.kept_bytes += size

    def owes(self, owing: bool) -> None: ...

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
        is_long = isinstance(data, str) and len(data.encode()) > LONG_TEXT_BYTES
        self.sockets.message_received(LongText(data.encode(), 0) if is_long else data)  # type: ignore[union-attr]

    async def opened(self, auth: str = "") -> str:
        """Connect; the answer."""
        self.send("0" + auth)
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

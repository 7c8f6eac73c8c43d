"""The ASGI endpoint of Socket.IO 5: an Engine.IO endpoint whose sessions carry sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from wsgw.errors import INTERNAL
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.namespace import ConnectRefused, Namespace
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.engineio import EngineIOServer, OpenSender, Options
from wsgw.surfaces.socketio.session import EngineSession

_log = logging.getLogger(__name__)


class SocketIOServer(EngineIOServer):
    """A plain ASGI callable that serves ``namespaces`` (by name, ``"/"`` is the main one)."""

    def __init__(
        self,
        namespaces: Mapping[str, Namespace],
        options: Options,
        *,
        open_sender: OpenSender,
        rejected: Callable[[str], None],
    ) -> None:
        super().__init__(
            lambda session: _SocketService(session, namespaces, options),
            options,
            open_sender=open_sender,
            rejected=rejected,
        )


class _SocketService:
    """The sockets of one session, and the tasks in which they connect: ``Service`` and ``carrier.Carrier``."""

    __slots__ = ("_namespaces", "_sockets", "_tasks", "close", "fail", "hold", "message_received", "release")

    def __init__(self, session: EngineSession, namespaces: Mapping[str, Namespace], options: Options) -> None:
        self.close = session.close
        self.fail = session.fail
        self.hold = session.hold
        self.release = session.release
        self._namespaces = namespaces
        self._sockets = Multiplexer(self, session.sender, session.handshake, namespaces, options.max_packet_bytes)
        self.message_received = self._sockets.message_received
        self._tasks: dict[Socket, asyncio.Task[None]] = {}

    @property
    def accepted(self) -> bool:
        return self._sockets.accepted

    def closed(self, code: int) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._sockets.closed(code)

    def connect(self, socket: Socket, auth: Json | None) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(socket, auth))
        self._tasks[socket] = task
        task.add_done_callback(lambda _: self._tasks.pop(socket, None))

    def give_up(self, socket: Socket) -> None:
        task = self._tasks.get(socket)
        if task is not None:
            task.cancel()

    async def _connect(self, socket: Socket, auth: Json | None) -> None:
        handler: Handler
        try:
            handler = await self._namespaces[socket.namespace].connect(socket, auth)
        except ConnectRefused as refusal:
            self._sockets.refuse(socket, refusal)
        except Exception:
            _log.exception("connecting a Socket.IO client failed")
            self._sockets.refuse(socket, ConnectRefused(INTERNAL.summary))
        else:
            self._sockets.accept(socket, handler)

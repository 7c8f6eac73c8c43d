"""The ASGI endpoint of Socket.IO 5: an Engine.IO endpoint whose sessions carry sockets."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from functools import partial

from wsgw.closecodes import PROTOCOL_ERROR
from wsgw.core.edge import Edge
from wsgw.errors import INTERNAL, TOKEN_EXPIRED
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.namespace import ConnectRefused, Namespace
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.binding import Binding
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
        edge: Edge,
        open_sender: OpenSender,
        binding: Binding | None = None,
    ) -> None:
        super().__init__(
            lambda session: _SocketService(session, namespaces, options, edge.limits.body_timeout, binding),
            options,
            edge=edge,
            open_sender=open_sender,
            binding=binding,
        )


class _SocketService:
    """The sockets of one session, and the tasks in which they connect: ``Service`` and ``carrier.Carrier``."""

    __slots__ = (
        "_binding",
        "_namespaces",
        "_next",
        "_owes_since",
        "_owes_timer",
        "_session",
        "_sockets",
        "_tasks",
        "_timeout_seconds",
        "accepted",
        "close",
        "fail",
        "hold",
        "keep",
        "message_received",
        "needless",
        "release",
    )

    def __init__(
        self,
        session: EngineSession,
        namespaces: Mapping[str, Namespace],
        options: Options,
        timeout_seconds: float,
        binding: Binding | None,
    ) -> None:
        """A packet may take ``timeout_seconds`` to come with all its attachments."""
        self.accepted = session.accepted
        self.close = session.close
        self.fail = session.fail
        self.hold = session.hold
        self.keep = session.keep
        self.needless = session.needless
        self.release = session.release
        self._session = session
        self._timeout_seconds = timeout_seconds
        self._owes_since = math.inf  # the loop's time; attachments
        self._owes_timer: asyncio.TimerHandle | None = None  # one for many packets: it finds out how things are
        self._namespaces = namespaces
        self._sockets = Multiplexer(
            self, session.sender, session.handshake, namespaces, options.max_packet_bytes, options.max_value_bytes
        )
        self.message_received = self._sockets.message_received
        self._binding = binding
        # one task for a namespace at a time, by its name; and who waits for its end, a later CONNECT
        self._tasks: dict[str, tuple[Socket, asyncio.Task[None]]] = {}
        self._next: dict[str, tuple[Socket, Json | None]] = {}

    @property
    def known(self) -> object:
        return self._sockets.known

    def closed(self, code: int) -> None:
        if code == TOKEN_EXPIRED.close_code and self._binding is not None:
            self._binding.expired(self._session.sid)
        self._next.clear()
        if self._owes_timer is not None:
            self._owes_timer.cancel()
            self._owes_timer = None
        for _, task in self._tasks.values():
            task.cancel()
        self._sockets.closed(code)

    def connect(self, socket: Socket, auth: Json | None) -> None:
        if socket.namespace in self._tasks:
            self._next[socket.namespace] = socket, auth
        else:
            self._start(socket, auth)

    def give_up(self, socket: Socket) -> None:
        self._next.pop(socket.namespace, None)
        connecting, task = self._tasks.get(socket.namespace, (None, None))
        if connecting is socket and task is not None:
            task.cancel()

    def owes(self, owing: bool) -> None:
        if not owing:
            self._owes_since = math.inf
            return
        loop = asyncio.get_running_loop()
        self._owes_since = loop.time()
        if self._owes_timer is None:
            self._owes_timer = loop.call_later(self._timeout_seconds, self._check_owed)

    def _check_owed(self) -> None:
        self._owes_timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._session.is_held and self._owes_since < math.inf:  # it could not pay
            self._owes_since = now
        due = self._owes_since + self._timeout_seconds
        if due <= now:
            self.fail(PROTOCOL_ERROR)
        elif due < math.inf:
            self._owes_timer = loop.call_at(due, self._check_owed)

    def _start(self, socket: Socket, auth: Json | None) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(socket, auth))
        self._tasks[socket.namespace] = socket, task
        task.add_done_callback(partial(self._done, socket.namespace))

    def _done(self, namespace: str, task: asyncio.Task[None]) -> None:
        del self._tasks[namespace]
        if namespace in self._next:
            self._start(*self._next.pop(namespace))

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

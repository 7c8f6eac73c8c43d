"""Socket.IO sockets: the clients of one connection in their namespaces, and the seam to the application above.

Synchronous and without I/O. Below is an Engine.IO session (``Carrier``) and the connection's ``Sender``; above are the
application's ``Namespace`` and ``Handler`` objects. Only ``Namespace.connect`` may wait, in a task that the port owns.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ParamSpec, Protocol

from wsgw.errors import INTERNAL, SLOW_CONSUMER
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio import packets as socketio
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.packets import Decoder, ProtocolError, SocketPacket

#: Most events of one socket that wait for the client's ack; more mean that it does not answer.
MAX_PENDING_ACKS = 1024

P = ParamSpec("P")

_PROTOCOL_ERROR = 1002
_log = logging.getLogger(__name__)


class Handler(Protocol):
    """The application's side of one socket. Synchronous; must not block. An exception ends the connection (1011)."""

    def connected(self) -> None:
        """The client's CONNECT has been answered: what is sent from now on comes behind the answer."""

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        """The client emitted an event; ``ack`` is None when it asks for no answer."""

    def disconnected(self, code: int) -> None:
        """The socket has ended: 1000 the client left, 1006 it was lost, otherwise the close code. Once, last."""


class ConnectRefused(Exception):
    """A CONNECT is not accepted; ``message`` and ``data`` go to the client's ``connect_error``."""

    def __init__(self, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Namespace(Protocol):
    """A namespace that clients can connect to."""

    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        """The handler for a new socket. May wait, is cancelled when the connection ends; raises ConnectRefused."""


class Carrier(Protocol):
    """The Engine.IO session below, as the sockets see it."""

    def connect(self, socket: Socket, auth: Json | None) -> None:
        """Start ``Namespace.connect`` in a task; then call ``accept`` or ``refuse`` of the sockets."""

    def close(self, code: int) -> None:
        """End the connection when what was sent before is out."""

    def fail(self, code: int) -> None:
        """End the connection at once."""

    def hold(self) -> None:
        """Take nothing more from the client until ``release``; repeated calls are harmless."""

    def release(self) -> None:
        """Undo ``hold``."""


class Socket:
    """One client in one namespace.

    ``sender`` belongs to the connection and is shared by its sockets: batches of SOCKETIO_WIRE are offered to it.
    """

    __slots__ = ("_acks", "_next_id", "_sockets", "handler", "handshake", "namespace", "sender", "sid")

    def __init__(self, sockets: Multiplexer, namespace: str) -> None:
        self.sid = secrets.token_urlsafe(15)
        self.namespace = namespace
        self.handshake = sockets.handshake
        self.sender: Sender = sockets.sender
        self.handler: Handler | None = None  # None until accepted, and again when gone
        self._sockets = sockets
        self._acks: dict[int, Callable[[list[Argument]], None]] = {}
        self._next_id = 0

    def emit(self, name: str, *args: Argument, ack: Callable[[list[Argument]], None] | None = None) -> None:
        """Send an event; ``ack`` gets the arguments of the client's answer. Does nothing when the socket is gone."""
        if not self._sockets.has(self):
            return
        id = None
        if ack is not None:
            if len(self._acks) >= MAX_PENDING_ACKS:
                self._sockets.port.fail(SLOW_CONSUMER.close_code)
                return
            id = self._next_id
            self._next_id += 1
            self._acks[id] = ack
        self._sockets.send(socketio.encode_event(self.namespace, id, name, args))

    def answer(self, acks: Iterable[Ack], *args: Argument) -> None:
        """Call each of ``acks``, all of this socket, with ``args``; many cost little more than one."""
        ids = [ack.id for ack in acks if ack.claim()]
        if self._sockets.has(self):
            self._sockets.send_all(socketio.encode_acks(self.namespace, ids, args))

    def disconnect(self) -> None:
        """Take the client out of the namespace; its connection and other namespaces stay."""
        if self._sockets.has(self):
            self._sockets.send(socketio.encode_disconnect(self.namespace))
            self._sockets.leave(self, 1000)

    def close(self, code: int) -> None:
        """End the client's connection, of all namespaces, when what was sent before is out."""
        if self._sockets.has(self):
            self._sockets.port.close(code)

    def hold(self) -> None:
        """Hold the client back, in all namespaces, until every socket that did so calls ``release`` or is gone.

        What it sent before may still come. A client on polling is held back for a bounded time only.
        """
        if self._sockets.has(self):
            self._sockets.hold(self)

    def release(self) -> None:
        """Undo ``hold``."""
        self._sockets.release(self)

    def acked(self, id: int) -> Callable[[list[Argument]], None] | None:
        """The client answered the event ``id``: what to call, None where nothing waits for it."""
        return self._acks.pop(id, None)


class Multiplexer:
    """All sockets of one connection: takes its messages apart and leads them to the handlers."""

    def __init__(
        self,
        port: Carrier,
        sender: Sender,
        handshake: Handshake,
        namespaces: Mapping[str, Namespace],
        max_packet_bytes: Callable[[], int],
    ) -> None:
        self.port = port
        self.sender = sender
        self.handshake = handshake
        self._namespaces = namespaces
        self._decoder = Decoder(max_packet_bytes)
        # None: the server ended the socket, whose client may not know it yet
        self._sockets: dict[str, Socket | None] = {}
        self._holding: set[Socket] = set()
        #: a client was accepted, in any namespace
        self.accepted = False

    def has(self, socket: Socket) -> bool:
        """Whether ``socket`` is part of this connection still."""
        return self._sockets.get(socket.namespace) is socket

    def send(self, item: Encoded) -> None:
        """Send a packet; a client that lets them pile up is closed."""
        self.send_all((item,))

    def send_all(self, items: Sequence[Encoded]) -> None:
        """Send packets; see ``send``."""
        self.sender.send_all(items)

    def hold(self, socket: Socket) -> None:
        """See ``Socket.hold``."""
        self._holding.add(socket)
        self.port.hold()

    def release(self, socket: Socket) -> None:
        """See ``Socket.release``."""
        if socket in self._holding:
            self._holding.remove(socket)
            if not self._holding:
                self.port.release()

    def message_received(self, data: str | bytes) -> None:
        """One Engine.IO message. What is no packet, or not one for now, ends the connection (1002)."""
        try:
            packet = self._decoder.add(data)
            if packet is not None:
                self._packet_received(packet)
        except ProtocolError as error:
            _log.debug("Socket.IO client closed: %s", error)
            self.port.fail(_PROTOCOL_ERROR)

    def accept(self, socket: Socket, handler: Handler) -> None:
        """``Namespace.connect`` returned ``handler``."""
        if not self.has(socket):  # it left meanwhile
            self._call(handler.disconnected, 1006)
            return
        socket.handler = handler
        self.accepted = True
        self.send(socketio.encode_connect(socket.namespace, socket.sid))
        self._call(handler.connected)

    def refuse(self, socket: Socket, refusal: ConnectRefused) -> None:
        """``Namespace.connect`` raised."""
        if self.has(socket):
            del self._sockets[socket.namespace]
            self.send(socketio.encode_connect_error(socket.namespace, refusal.message, refusal.data))

    def leave(self, socket: Socket, code: int) -> None:
        """The server ended ``socket``."""
        self._sockets[socket.namespace] = None
        self._end(socket, code)

    def closed(self, code: int) -> None:
        """The connection has ended."""
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            if socket is not None:
                self._end(socket, code)

    def _packet_received(self, packet: SocketPacket) -> None:
        namespace = packet.namespace
        socket = self._sockets.get(namespace)
        if packet.type == socketio.CONNECT:
            self._connect(packet)
        elif socket is None:
            if packet.type != socketio.DISCONNECT and namespace not in self._sockets:
                raise ProtocolError(f"a packet for {namespace!r} before CONNECT")
        elif packet.type == socketio.DISCONNECT:
            del self._sockets[namespace]
            self._end(socket, 1000)
        elif socket.handler is None:
            raise ProtocolError("an event before CONNECT was answered")
        elif packet.type == socketio.EVENT:
            ack = None if packet.id is None else Ack(socket, packet.id)
            self._call(socket.handler.event, packet.name, packet.args, ack)
        else:
            assert packet.id is not None
            answered = socket.acked(packet.id)
            if answered is not None:
                self._call(answered, packet.args)

    def _connect(self, packet: SocketPacket) -> None:
        if packet.namespace not in self._namespaces:
            self.send(socketio.encode_connect_error(packet.namespace, "Invalid namespace", None))
            return
        if self._sockets.get(packet.namespace) is not None:
            raise ProtocolError("a second CONNECT")
        socket = self._sockets[packet.namespace] = Socket(self, packet.namespace)
        auth = packet.args[0] if packet.args else None
        assert auth is None or type(auth) is Json
        self.port.connect(socket, auth)

    def _end(self, socket: Socket, code: int) -> None:
        self.release(socket)
        handler, socket.handler = socket.handler, None
        if handler is not None:
            self._call(handler.disconnected, code)

    def _call(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception:
            _log.exception("a Socket.IO handler failed")
            self.port.fail(INTERNAL.close_code)


class Ack:
    """Answers one event of the client; later if need be. A second call, or one after the end, does nothing."""

    __slots__ = ("_answered", "_socket", "id")

    def __init__(self, socket: Socket, id: int) -> None:
        self.id = id
        self._socket = socket
        self._answered = False

    def __call__(self, *args: Argument) -> None:
        self._socket.answer([self], *args)

    def claim(self) -> bool:
        """Whether the answer is still to be given; then it counts as given."""
        answered, self._answered = self._answered, True
        return not answered

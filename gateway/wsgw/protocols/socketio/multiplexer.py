"""All Socket.IO sockets of one connection.

Synchronous and without I/O. Below is an Engine.IO session (``Carrier``) and the connection's ``Sender``; above are the
application's ``Namespace`` and ``Handler`` objects. Only ``Namespace.connect`` may wait, in a task that the carrier
owns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec

from wsgw.closecodes import ABNORMAL, NORMAL, PROTOCOL_ERROR
from wsgw.errors import INTERNAL
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.longtext import Content
from wsgw.protocols.socketio import packets as socketio
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.carrier import NO_CARRIER, Carrier
from wsgw.protocols.socketio.earlyevents import EarlyEvents
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.namespace import ConnectRefused, Namespace
from wsgw.protocols.socketio.packets import Decoder, ProtocolError, SocketPacket
from wsgw.protocols.socketio.socket import Socket

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class Multiplexer:
    """Takes the messages of one connection apart and leads them to the handlers. Implements ``SocketOwner``."""

    def __init__(
        self,
        carrier: Carrier,
        sender: Sender,
        handshake: Handshake,
        namespaces: Mapping[str, Namespace],
        max_packet_bytes: Callable[[], int],
        max_value_bytes: Callable[[], int],
    ) -> None:
        self.sender = sender
        self.handshake = handshake
        self.known: object = None
        self._carrier: Carrier = carrier
        self._namespaces = namespaces
        self._decoder = Decoder(max_packet_bytes, max_value_bytes)
        self._incomplete_bytes = 0  # of them, kept in it
        # None: the client has left the namespace, or was refused and may not know it yet
        self._sockets: dict[str, Socket | None] = {}
        self._holding: set[Socket] = set()
        self._accepted = False  # a client, in any namespace

    def message_received(self, data: Content) -> None:
        """One Engine.IO message. What is no packet, or not one for now, ends the connection (1002)."""
        try:
            packet = self._decoder.add(data)
            if packet is None or type(data) is bytes:
                self._count_incomplete()
            if packet is not None:
                self._packet_received(packet)
        except ProtocolError as error:
            _log.debug("Socket.IO client closed: %s", error)
            self.fail(PROTOCOL_ERROR)

    def accept(self, socket: Socket, handler: Handler) -> None:
        """``Namespace.connect`` returned ``handler``."""
        if not self.has(socket):  # it left meanwhile
            self._call(handler.disconnected, ABNORMAL)
            return
        socket.handler = handler
        if not self._accepted:
            self._accepted = True
            self._carrier.accepted()
        self._send(socketio.encode_connect(socket.namespace, socket.sid, socket.pid))
        if not self.has(socket):  # the answer was one packet too many for a client that reads none
            return
        self._call(handler.connected)
        for event in self._take_early(socket):
            if self.has(socket):  # the one before may have ended it
                self._packet_received(event)

    def refuse(self, socket: Socket, refusal: ConnectRefused) -> None:
        """``Namespace.connect`` raised."""
        if self.has(socket):
            self._sockets[socket.namespace] = None
            self._send(socketio.encode_connect_error(socket.namespace, refusal.message, refusal.data))

    def closed(self, code: int) -> None:
        """The connection has ended."""
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            if socket is not None:
                self._end(socket, code)
        self._carrier = NO_CARRIER

    # -- SocketOwner

    def has(self, socket: Socket) -> bool:
        return self._sockets.get(socket.namespace) is socket

    def send_all(self, items: Sequence[Encoded]) -> None:
        self.sender.send_all(items)

    def send_each(self, messages: Sequence[Message]) -> None:
        self.sender.send_each(messages)

    def needless(self, count: int = 1) -> None:
        self._carrier.needless(count)

    def keep(self, size: int) -> None:
        self._carrier.keep(size)

    def close(self, code: int) -> None:
        self._carrier.close(code)

    def fail(self, code: int) -> None:
        self._carrier.fail(code)

    def hold(self, socket: Socket) -> None:
        self._holding.add(socket)
        self._carrier.hold()

    def release(self, socket: Socket) -> None:
        if socket in self._holding:
            self._holding.remove(socket)
            if not self._holding:
                self._carrier.release()

    # -- inside

    def _packet_received(self, packet: SocketPacket) -> None:
        kind, namespace, id, name, args = packet
        socket = self._sockets.get(namespace)
        if kind == socketio.EVENT and socket is not None and socket.handler is not None:  # nearly all
            try:  # as ``_call``, without the call
                socket.handler.event(name, args, None if id is None else Ack(socket, id))
            except Exception:
                self._failed()
        elif kind == socketio.CONNECT:
            self._connect(packet)
        elif socket is None:
            if kind != socketio.DISCONNECT and namespace not in self._sockets:
                raise ProtocolError(f"a packet for {namespace!r} before CONNECT")
            if kind != socketio.EVENT:
                self._carrier.needless()
        elif kind == socketio.EVENT:
            self._keep(socket, packet)
        elif kind == socketio.DISCONNECT:
            self._sockets[namespace] = None
            if socket.handler is None:
                self._carrier.give_up(socket)
            self._end(socket, NORMAL)
        else:  # an ACK: no event of ours asks for one
            self._carrier.needless()

    def _keep(self, socket: Socket, event: SocketPacket) -> None:
        """Some clients (Rust's) emit without waiting for the answer to their CONNECT."""
        if socket.early is None:
            socket.early = EarlyEvents()
        before = socket.early.size_bytes
        socket.early.add(event)
        self.keep(socket.early.size_bytes - before)

    def _take_early(self, socket: Socket) -> list[SocketPacket]:
        early, socket.early = socket.early, None
        if early is None:
            return []
        self.keep(-early.size_bytes)
        return early.take()

    def _count_incomplete(self) -> None:
        size = self._decoder.kept_bytes
        if bool(size) is not bool(self._incomplete_bytes):
            self._carrier.owes(size > 0)
        self.keep(size - self._incomplete_bytes)
        self._incomplete_bytes = size

    def _connect(self, packet: SocketPacket) -> None:
        if packet.namespace in self._sockets or packet.namespace not in self._namespaces:
            self._carrier.needless()
        if packet.namespace not in self._namespaces:
            self._send(socketio.encode_connect_error(packet.namespace, "Invalid namespace", None))
            return
        if self._sockets.get(packet.namespace) is not None:
            raise ProtocolError("a second CONNECT")
        socket = self._sockets[packet.namespace] = Socket(self, packet.namespace)
        auth = packet.args[0] if packet.args else None
        assert auth is None or type(auth) is Json
        self._carrier.connect(socket, auth)

    def _send(self, item: Encoded) -> None:
        self.send_all((item,))

    def _end(self, socket: Socket, code: int) -> None:
        self.release(socket)
        self._take_early(socket)
        handler, socket.handler = socket.handler, None
        if handler is not None:
            self._call(handler.disconnected, code)

    def _call(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        """To be called where an exception is handled."""
        _log.exception("a Socket.IO handler failed")
        self.fail(INTERNAL.close_code)

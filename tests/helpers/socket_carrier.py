"""A session below the Socket.IO sockets and handlers above them that write down what they are asked for."""

from __future__ import annotations

from typing import Any

from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.socket import Socket
from wsgw.protocols.socketio.wire import SOCKETIO_WIRE


class Recorder:
    """A handler that writes down what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.acks: list[Ack | None] = []
        self.failure: Exception | None = None

    def connected(self) -> None:
        self.calls.append(("connected",))

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        if self.failure is not None:
            raise self.failure
        self.calls.append((name, *args))
        self.acks.append(ack)

    def disconnected(self, code: int) -> None:
        self.calls.append(("disconnected", code))


class Unused:
    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        raise AssertionError("the port of these tests answers itself")


class Carrier:
    """The session below: accepts every CONNECT at once unless told to wait."""

    def __init__(self) -> None:
        self.sender = Sender(SOCKETIO_WIRE, OutboxTotals(), self._overflowed)
        self.sockets = Multiplexer(
            self,
            self.sender,
            Handshake("/socket.io/", b"", (), ""),
            {"/": Unused(), "/b": Unused()},
            lambda: 1000,
            lambda: 1000,
        )
        self.connecting: list[tuple[Socket, Json | None]] = []
        self.given_up: list[Socket] = []
        self.accepting = True
        self.handlers: dict[str, Recorder] = {}
        self.ended: list[tuple[str, int]] = []
        self.held = False
        self.was_accepted = 0
        self.needless_packets = 0
        self.kept_bytes = 0
        self.owing: list[bool] = []

    def accepted(self) -> None:
        self.was_accepted += 1

    def needless(self, count: int = 1) -> None:
        self.needless_packets += count

    def keep(self, size: int) -> None:
        self.kept_bytes += size

    def owes(self, owing: bool) -> None:
        self.owing.append(owing)

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def connect(self, socket: Socket, auth: Json | None) -> None:
        self.connecting.append((socket, auth))
        if self.accepting:
            self.accept()

    def give_up(self, socket: Socket) -> None:
        self.given_up.append(socket)

    def _overflowed(self) -> None:
        self.fail(4008)

    def accept(self) -> Socket:
        socket = self.connecting[-1][0]
        handler = self.handlers[socket.namespace] = Recorder()
        self.sockets.accept(socket, handler)
        return socket

    def close(self, code: int) -> None:
        self.end("close", code)

    def fail(self, code: int) -> None:
        self.end("fail", code)

    def end(self, how: str, code: int) -> None:
        self.ended.append((how, code))
        self.sockets.closed(code)

    def sent(self) -> list[str | bytes]:
        """What went out since the last call."""
        messages = [message for item in self.sender.take(10**6, 10**9) for message in item.messages]
        return [message.data.decode() if message.text else message.data for message in messages]

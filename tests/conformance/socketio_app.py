"""What the official protocol suites talk to (see sio-suite/run.sh): the gateway's own classes and nothing else.

``python tests/conformance/socketio_app.py --port 3000`` (0 takes a free port); prints the port it listens on.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.longtext import Content, LongText
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.packets import encode_event
from wsgw.protocols.socketio.socket import Socket
from wsgw.protocols.socketio.wire import SOCKETIO_WIRE
from wsgw.surfaces.socketio.engineio import EngineIOServer, Options
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.surfaces.socketio.session import EngineSession
from wsgw.transports.http11 import http_class


class Echo:
    """The bare Engine.IO service: every message goes back."""

    known = None

    def __init__(self, connection: EngineSession) -> None:
        self._connection = connection
        connection.accepted()

    def message_received(self, data: Content) -> None:
        assert not isinstance(data, LongText)
        packet = Message(False, data) if isinstance(data, bytes) else Message(True, b"4" + data.encode())
        self._connection.sender.send(Encoded(packet))

    def closed(self, code: int) -> None:
        pass


class Answers:
    """One socket: tells what it connected with, sends back or acknowledges what it is asked to."""

    def __init__(self, socket: Socket, auth: Json | None) -> None:
        self._socket = socket
        self._auth = auth or Json("{}")

    def connected(self) -> None:
        self._emit("auth", [self._auth])

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        if name == "message":
            self._emit("message-back", args)
        elif name == "message-with-ack" and ack is not None:
            ack(*args)

    def disconnected(self, code: int) -> None:
        pass

    def _emit(self, name: str, args: list[Argument]) -> None:
        self._socket.sender.send(encode_event(self._socket.namespace, name, args))


class AnswersNamespace:
    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        return Answers(socket, auth)


def application(edge: Edge) -> Any:
    """The ASGI application with both endpoints."""
    options = Options(
        max_packet_bytes=lambda: 1_000_000,
        max_value_bytes=lambda: 1_000_000,
        ping_interval_seconds=0.3,
        ping_timeout_seconds=0.2,
        connect_timeout_seconds=1.0,
    )
    totals = OutboxTotals()

    def open_sender(_: Handshake, overflowed: Callable[[], None]) -> Sender:
        return Sender(SOCKETIO_WIRE, totals, overflowed)

    namespace = AnswersNamespace()
    engineio = EngineIOServer(Echo, options, edge=edge, open_sender=open_sender)
    socketio = SocketIOServer({"/": namespace, "/custom": namespace}, options, edge=edge, open_sender=open_sender)

    async def route(scope: Any, receive: Any, send: Any) -> None:
        await (engineio if scope["path"].startswith("/engine.io/") else socketio)(scope, receive, send)

    return route


async def serve(port: int) -> None:
    # asyncio sets TCP_NODELAY only where the protocol is named
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        print(listener.getsockname()[1], flush=True)
        edge = Edge(LimitsSettings(), Metrics())
        config = uvicorn.Config(
            application(edge),
            http=http_class(lambda: edge),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
        )
        await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    asyncio.run(serve(parser.parse_args().port))

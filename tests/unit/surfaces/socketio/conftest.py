"""A Socket.IO endpoint on uvicorn, over both kinds of ``Link``, with a namespace that answers and writes down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from helpers.fanout import IN
from helpers.running import Running
from helpers.waiting import eventually
from wsgw.channels.channel import Channel, Direction
from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Publication
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.packets import encode_event
from wsgw.protocols.socketio.socket import Socket
from wsgw.protocols.socketio.wire import SOCKETIO_WIRE
from wsgw.surfaces.socketio.engineio import Options
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.transports.http11 import http_class

from .client import Client

CHANNEL = Channel("IN", Direction.INBOUND, outbox_messages=10**6, outbox_bytes=10**9)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state of the other side."""
    await eventually(condition, "what the test waits for")


class BoardHandler:
    """Answers ``echo`` by the event ``echoed``, ``ask`` by its ack, ``bye`` by a close; all else is only kept."""

    def __init__(self, board: Board, socket: Socket) -> None:
        self.board = board
        self.socket = socket
        self.code: int | None = None

    def connected(self) -> None:
        self.board.handlers.append(self)

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        if name == "echo":
            self.emit("echoed", args)
        elif name == "ask" and ack is not None:
            ack(*args)
        elif name == "bye":
            self.emit("parting", args)
            self.socket.close(4010)
        else:
            self.board.events.append((name, *args))
            if ack is not None:
                ack(Json("true"))

    def emit(self, name: str, args: list[Argument]) -> None:
        self.socket.sender.send(encode_event(self.socket.namespace, name, args))

    def disconnected(self, code: int) -> None:
        assert self.code is None
        self.code = code


class Board:
    """The namespace, the endpoint's options and what became of its clients."""

    def __init__(self) -> None:
        self.handlers: list[BoardHandler] = []
        self.events: list[tuple[Any, ...]] = []
        self.auths: list[Json | None] = []
        self.metrics = Metrics()
        self.edge: Edge
        self.deliveries = Deliveries(CHANNEL, SOCKETIO_WIRE.transport, self.metrics)
        self.metrics.on_read.append(self.deliveries.report)
        self.totals = OutboxTotals()
        self.url = ""
        self.server: SocketIOServer

    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        self.auths.append(auth)
        if auth is not None and "refuse" in auth.raw:
            raise ConnectRefused("not you", Json('{"code":1}'))
        if auth is not None and "wait" in auth.raw:
            await asyncio.Event().wait()
        if auth is not None and "fail" in auth.raw:
            raise ZeroDivisionError
        return BoardHandler(self, socket)

    def publish(self, *payloads: bytes) -> None:
        """Fan publications out to every client that is there, as the hub does."""
        items = [SOCKETIO_WIRE.encode(IN, "IN", Publication("IN", payload, 0.0)) for payload in payloads]
        batch = Batch(self.deliveries, "IN", items)
        for handler in self.handlers:
            if handler.code is None:
                handler.socket.sender.offer(batch)

    @asynccontextmanager
    async def serving(self, direct: bool, **options: Any) -> AsyncIterator[Board]:
        """The endpoint, live, its WebSockets on our protocol class (``direct``) or uvicorn's."""
        options.setdefault("max_packet_bytes", lambda: 2_000_000)
        options.setdefault("max_value_bytes", lambda: 2_000_000)
        self.edge = Edge(LimitsSettings(), self.metrics)
        self.server = SocketIOServer(
            {"/": self},
            Options(**options),
            open_sender=lambda _, overflowed: Sender(SOCKETIO_WIRE, self.totals, overflowed),
            edge=self.edge,
        )
        config = uvicorn.Config(
            self.server,
            log_config=None,
            http=http_class(lambda: self.edge) if direct else "httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="critical",
            timeout_graceful_shutdown=5,
        )
        server = _Server(config)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/socket.io/"
            task = asyncio.get_running_loop().create_task(server.serve([listener]))
            try:
                await until(lambda: server.started)
                yield self
            finally:
                for connection in list(self.server._sessions.values()):
                    connection.fail(1001)  # close_all would wait for those between two polls
                assert await self.server.wait_gone(10.0)
                server.should_exit = True
                await task
        assert all(handler.code is not None for handler in self.handlers)
        assert (self.totals.messages, self.totals.bytes, self.edge.memory.used_bytes) == (0, 0, 0)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def board(request: pytest.FixtureRequest) -> AsyncIterator[Board]:
    """A live endpoint with the default timing."""
    async with Board().serving(request.param) as board:
        yield board


@pytest.fixture
async def http(board: Board) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=board.url, timeout=30) as client:
        yield client


@pytest.fixture
async def client(served: Running) -> AsyncIterator[Client]:
    """A client of the namespace ``/`` of a gateway that gets IN."""
    made = Client(served, {"channels": "IN"})
    assert (await made.opened()).startswith('40{"sid":')
    yield made
    await made.stop()

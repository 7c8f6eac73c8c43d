"""CONNECT and DISCONNECT in quick succession: one at a time connects, and nothing is kept of those that left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wsgw.protocols.engineio.engine import State
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio import server as server_module
from wsgw.surfaces.socketio.engineio import Options
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.surfaces.socketio.session import EngineSession

from .conftest import BoardHandler, until
from .endpoint import Endpoint


class Slow:
    """A namespace in which connecting takes until ``go`` is set, and so does its cancellation if it is ``stubborn``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.stubborn = False
        self.begun = 0
        self.cancelled = 0
        self.working = 0
        self.most = 0
        self.handlers: list[Any] = []
        self.events: list[Any] = []

    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        self.begun += 1
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.stubborn:
                await self.go.wait()
            raise
        finally:
            self.working -= 1
        return BoardHandler(self, socket)  # type: ignore[arg-type]


@pytest.fixture
async def slow() -> Slow:
    return Slow()


def opened(slow: Slow) -> tuple[SocketIOServer, EngineSession]:
    made = Endpoint()
    server = SocketIOServer(
        {"/": slow, "/b": slow},
        Options(lambda: 1000, lambda: 1000),
        edge=made.server.edge,
        open_sender=made.server.open_sender,
    )
    made.server = server
    server._open(next_handshake(), websocket=False)
    return server, next(iter(server._sessions.values()))


def next_handshake() -> Any:
    from wsgw.protocols.handshake import Handshake

    return Handshake("/socket.io/", b"", (), "")


def sent(connection: EngineSession) -> list[str]:
    return [m.data.decode() for item in connection.sender.take(10**6, 10**9) for m in item.messages]


async def test_a_client_that_leaves_and_connects_again_at_once(slow: Slow) -> None:
    _, connection = opened(slow)
    for packet in ("0", "1", "0"):
        connection.message_received(packet)
    slow.go.set()
    await until(lambda: slow.handlers)
    await asyncio.sleep(0)
    assert [packet[:6] for packet in sent(connection)] == ['40{"si']
    assert slow.handlers[0].code is None
    for packet in ("1", "0", "1", "0"):
        connection.message_received(packet)
    await until(lambda: len(slow.handlers) == 2)
    assert slow.handlers[0].code == 1000
    connection.fail(1000)


async def test_pairs_without_waiting_cost_one_task_at_a_time(slow: Slow) -> None:
    slow.stubborn = True
    _, connection = opened(slow)
    connection.message_received("0")
    await until(lambda: slow.working)
    tasks = len(asyncio.all_tasks())
    for _ in range(1000):
        connection.message_received("1")
        connection.message_received("0")
    assert len(asyncio.all_tasks()) == tasks
    assert slow.begun == 1
    slow.go.set()
    await until(lambda: slow.handlers)
    assert (slow.begun, slow.cancelled, slow.most) == (2, 1, 1)
    connection.fail(1000)


async def test_the_last_one_may_have_left_too(slow: Slow) -> None:
    _, connection = opened(slow)
    connection.message_received("0")
    await until(lambda: slow.working)
    for packet in ("1", "0", "1"):
        connection.message_received(packet)
    await until(lambda: not slow.working)
    for _ in range(5):
        await asyncio.sleep(0)
    assert slow.begun == 1
    assert sent(connection) == []
    connection.message_received("0")
    await until(lambda: slow.begun == 2)
    connection.fail(1000)
    await until(lambda: not slow.working)


@pytest.mark.parametrize("held", [True, False])
async def test_attachments_may_not_be_due_for_ever(slow: Slow, held: bool) -> None:
    slow.go.set()
    server, connection = opened(slow)
    service = connection.service
    assert isinstance(service, server_module._SocketService)
    connection.message_received("0")
    await until(lambda: slow.handlers)
    text = '51-["a",{"_placeholder":true,"num":0}]'
    before = connection.held_bytes()
    connection.message_received(text)
    assert connection.held_bytes() > before + len(text)
    timer = service._owes_timer
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() <= server.edge.limits.body_timeout
    connection.message_received(b"x")
    connection.message_received(text)
    assert service._owes_timer is timer  # one for many
    if held:
        connection.hold()
    service._timeout_seconds = 1e-9
    timer.cancel()
    service._check_owed()
    assert (connection.engine.state is State.GONE) is not held
    if held:
        assert service._owes_timer is not None
    connection.fail(1000)
    assert service._owes_timer is None


async def test_namespaces_do_not_wait_for_each_other(slow: Slow) -> None:
    _, connection = opened(slow)
    connection.message_received("0")
    connection.message_received("0/b")
    await until(lambda: slow.working == 2)
    connection.message_received("1/b")
    connection.message_received("0/b")
    await until(lambda: slow.begun == 3)
    assert slow.working == 2
    connection.fail(1000)
    await until(lambda: not slow.working)


async def test_one_that_waits_for_its_turn_ends_with_the_connection(slow: Slow) -> None:
    slow.stubborn = True
    _, connection = opened(slow)
    connection.message_received("0")
    await until(lambda: slow.working)
    connection.message_received("1")
    connection.message_received("0")
    connection.fail(1000)
    slow.go.set()
    await until(lambda: not slow.working)
    for _ in range(5):
        await asyncio.sleep(0)
    assert slow.begun == 1

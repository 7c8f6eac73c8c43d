"""The link over plain ASGI messages, by hand and under another server than uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from helpers.link_server import Application, Recorder
from helpers.ports import listen
from helpers.raw_websocket import RawWebSocket, binary, close, text
from helpers.waiting import arrived, eventually
from wsgw import tasks
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.transports.asgi import AsgiLink


class Server:
    """The other end of ASGI: what it sends is ``incoming``, what it gets ``sent``."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self.sent: list[Any] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.failure: Exception | None = None
        self.receiver = Recorder()
        self.receiver.link = AsgiLink(self.receive, self.send, self.receiver, 10)

    async def receive(self) -> dict[str, Any]:
        event = await self.incoming.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)

    async def run(self) -> None:
        async with asyncio.timeout(30):
            await self.receiver.link.run()


async def test_servers_differ_in_what_they_leave_out() -> None:
    server = Server()
    for event in (
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "text": None, "bytes": b"b"},
        {"type": "websocket.receive", "text": "c", "bytes": None},
        {"type": "websocket.receive", "text": "", "bytes": None},
        {"type": "websocket.disconnect"},
    ):
        server.incoming.put_nowait(event)
    server.receiver.answers = False
    await server.run()
    assert [message.data for message in server.receiver.messages] == [b"a", b"b", b"c", b""]
    assert server.receiver.events[-2:] == [("close", 1005, ""), ("lost", 1005)]


@pytest.mark.parametrize("failure", [OSError("gone"), ClientDisconnected(), RuntimeError("after websocket.close")])
@pytest.mark.parametrize("closing", [False, True])
async def test_a_send_that_fails_ends_the_connection_and_is_no_fault(
    failure: Exception, closing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    server.failure = failure
    server.receiver.write("x")
    if closing:
        server.receiver.link.close(4000)
    await server.run()
    assert server.receiver.events == [("lost", 4000 if closing else 1006)]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_receive_that_fails_as_the_client_is_gone_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.incoming.put_nowait(ConnectionResetError())
    await server.run()
    assert server.receiver.events == [("lost", 1006)]
    assert not caplog.records


@pytest.mark.parametrize("reading", [True, False])
async def test_a_fault_of_the_link_itself(reading: bool, caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    if reading:
        server.incoming.put_nowait({"type": "websocket.receive", "text": 1})
    else:
        server.receiver.link.write(Encoded(Message(True, b"\xff")))
    await server.run()
    assert server.sent == [{"type": "websocket.close", "code": 1011, "reason": "a fault of the gateway"}]
    assert server.receiver.events == [("lost", 1011)]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("wsgw.websocket", "ERROR")
    assert record.exc_info is not None
    assert record.exc_info[2] is not None


async def test_what_waits_is_sent_before_the_close() -> None:
    server = Server()
    server.takes.clear()
    server.receiver.write("a", b"b")
    assert server.receiver.link.buffered_bytes() == 2
    server.receiver.link.close(4000, "why")
    running = asyncio.get_running_loop().create_task(server.run())
    await asyncio.sleep(0)
    server.takes.set()
    await running
    assert server.sent == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
        {"type": "websocket.close", "code": 4000, "reason": "why"},
    ]
    assert server.receiver.events == [("lost", 4000)]


async def test_it_ends_with_its_endpoint() -> None:
    server = Server()
    running = asyncio.get_running_loop().create_task(server.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert server.receiver.events == [("lost", 1006)]


class Deaf(Server):
    """Its ``receive`` swallows cancellations."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        while not self.enough.is_set():
            with suppress(asyncio.CancelledError):
                await self.enough.wait()
        raise ConnectionResetError


async def test_it_ends_under_a_server_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.05)
    server = Deaf()
    server.receiver.link.close(4000)
    await server.run()
    assert server.receiver.events == [("lost", 4000)]
    assert "asgi: reading from a client does not end" in caplog.text
    server.enough.set()
    await asyncio.sleep(0.01)


class Hypercorn:
    """hypercorn with an ``Application`` on a free port."""

    def __init__(self) -> None:
        serve = pytest.importorskip("hypercorn.asyncio", reason="hypercorn is not installed").serve
        config = pytest.importorskip("hypercorn.config").Config()
        listener = listen()
        self.application = Application()
        self._port = listener.getsockname()[1]
        self._stop = asyncio.Event()
        self._clients: list[RawWebSocket] = []
        config.bind = [f"fd://{listener.detach()}"]
        config.errorlog = None
        config.graceful_timeout = 0.2
        self._task = asyncio.get_running_loop().create_task(
            serve(self._lifespan, config, shutdown_trigger=self._stop.wait)
        )

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await self.application(scope, receive, send)

    async def open(self) -> tuple[RawWebSocket, Recorder]:
        client = RawWebSocket(self._port)
        self._clients.append(client)
        await client.connect()
        assert (await client.shake_hands()).status_code == 101
        return client, await self.application.receiver(len(self._clients) - 1)

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._stop.set()
        await self._task


@pytest.fixture
async def hypercorn() -> AsyncIterator[Hypercorn]:
    async with asyncio.timeout(60):
        server = Hypercorn()
        yield server
        await server.stop()


async def test_messages_under_hypercorn(hypercorn: Hypercorn) -> None:
    client, receiver = await hypercorn.open()
    await client.send(text("é"), binary(b"\xff"), text(""))
    await arrived(receiver.messages, 3)
    assert receiver.messages == [Message(True, "é".encode()), Message(False, b"\xff"), Message(True, b"")]
    receiver.write("é", b"\xff", "")
    assert [await client.receive() for _ in range(3)] == [text("é"), binary(b"\xff"), text("")]


async def test_closes_under_hypercorn(hypercorn: Hypercorn) -> None:
    client, receiver = await hypercorn.open()
    receiver.link.close(4008, "too slow")
    assert (await client.receive_close())[0] == 4008
    await client.send(close(4008))
    assert await receiver.until("lost") == ("lost", 4008)
    client, receiver = await hypercorn.open()
    await client.send(text("x"), close(4001))
    assert (await client.receive_close())[0] == 4001
    await receiver.until("lost")
    assert receiver.events[0] == ("message", True, b"x")
    assert receiver.names()[-2:] == ["close", "lost"]


async def test_a_lost_client_under_hypercorn(hypercorn: Hypercorn) -> None:
    client, receiver = await hypercorn.open()
    client.close()
    await eventually(lambda: "lost" in receiver.names(), "lost")
    assert receiver.names().count("lost") == 1

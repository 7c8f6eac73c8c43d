"""The process: its socket, its stop, its signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.broker.broker import NatsUnreachable
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.process.server import PortUnavailable, listen, serve

ORIGINAL_LINES = [
    "nats: Start up",
    "Start up webServer",
    "Server listening on port",
    "wsServer: Start up wsServer adapter",
    "App runs the jobs...",
    "App starts the shutdown process...",
    "wsServer: Shutting down wsServer adapter",
    "Shut down webServer",
    "nats: Shutting down",
]


def settings(url: str, port: int = 0, drain_seconds: float = 1) -> Settings:
    channels = [{"name": "IN", "direction": "inbound"}, {"name": "ASK", "direction": "request", "timeout": 60}]
    file = ConfigFile("test", {"channels": channels, "drain_seconds": drain_seconds})
    return load({"nats": {"servers": [url]}, "port": port}, {}, file)


class TestListen:
    def test_a_free_port(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            assert listener.getsockname()[1] > 0
            assert not listener.getblocking()

    def test_a_name(self) -> None:
        listen("localhost", 0).close()

    @pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
    def test_ipv6(self) -> None:
        try:
            listener = listen("::1", 0)
        except PortUnavailable:
            pytest.skip("no IPv6 here")
        assert listener.family is socket.AF_INET6
        listener.close()

    def test_a_busy_port(self) -> None:
        with listen("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PortUnavailable, match=f"port {port} on 127.0.0.1 is in use.*-p PORT"):
                listen("127.0.0.1", port)

    def test_a_port_just_left(self) -> None:
        first = listen("127.0.0.1", 0)
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted = None
            first.setblocking(True)
            accepted, _ = first.accept()
            accepted.close()
        first.close()
        listen("127.0.0.1", port).close()

    @pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
    def test_an_address_of_others(self, host: str) -> None:
        with pytest.raises(PortUnavailable, match=f"cannot listen on {host}:0: "):
            listen(host, 0)


Start = Callable[..., Awaitable[tuple["asyncio.Task[None]", int]]]


@pytest.fixture
async def start(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Start]:
    """Starts ``serve``; its task and port."""
    caplog.set_level(logging.INFO, "wsgw")
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    async def starting(url: str, drain_seconds: float = 1, **options: object) -> tuple[asyncio.Task[None], int]:
        running = serve(settings(url, drain_seconds=drain_seconds), **options)  # type: ignore[arg-type]
        task = loop.create_task(running)
        tasks.append(task)
        await eventually(lambda: task.done() or "App runs the jobs" in caplog.text, "it listens")
        line = next(record for record in caplog.records if "listening on port" in record.getMessage())
        return task, int(line.getMessage().rpartition(" ")[2])

    yield starting
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stop(nats: NatsServer, start: Start, caplog: pytest.LogCaptureFixture, number: int) -> None:
    task, port = await start(nats.url)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    client = RawWebSocket(port, "/ws/IN")
    await client.connect()
    await client.shake_hands()
    os.kill(os.getpid(), number)
    assert (await client.receive_close())[0] == 1001
    with pytest.raises(ConnectionError):
        await asyncio.get_running_loop().sock_connect(other := socket.socket(), ("127.0.0.1", port))
    other.close()
    await client.send(close(1001))
    await asyncio.wait_for(task, DEADLINE_SECONDS)
    client.close()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("wsgw")]
    positions = [next(i for i, line in enumerate(lines) if line.startswith(wanted)) for wanted in ORIGINAL_LINES]
    assert positions == sorted(positions)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_client_that_does_not_answer_holds_nothing_up(nats: NatsServer, start: Start) -> None:
    task, port = await start(nats.url)
    client = RawWebSocket(port, "/ws/IN")
    await client.connect()
    await client.shake_hands()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 10)
    client.close()


async def test_drain_seconds_are_for_the_whole_stop(nats: NatsServer, start: Start) -> None:
    task, port = await start(nats.url, drain_seconds=6)
    client = RawWebSocket(port, "/ws/IN")  # says nothing
    await client.connect()
    await client.shake_hands()
    peer = await Peer.connect(nats.url)
    asked = await peer.listen("ASK")  # answers nothing
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        answer = asyncio.create_task(http.post(f"http://127.0.0.1:{port}/request/ASK", content=b"?"))
        await eventually(lambda: asked, "the request")
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (await answer).json()["error"]["code"] == "unconfirmed"
        await asyncio.wait_for(task, 60)
        assert time.monotonic() - began < 6  # 3 s for the clients, then as good as nothing
    client.close()
    await peer.close()


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stop_while_nats_is_looked_for(start_server: Callable[..., NatsServer], number: int) -> None:
    server = start_server()
    server.freeze()
    before = signal.getsignal(number)
    task = asyncio.create_task(serve(settings(server.url), exit_if_no_nats=True))
    await eventually(lambda: signal.getsignal(number) is not before, "a handler")
    os.kill(os.getpid(), number)
    await asyncio.wait_for(task, DEADLINE_SECONDS)  # and does not raise NatsUnreachable
    server.thaw()


async def test_sighup_reloads_where_there_is_something_to_reload(nats: NatsServer, start: Start) -> None:
    reloads: list[bool] = []
    task, _ = await start(nats.url, reload=lambda: reloads.append(True))
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: reloads, "a reload")
    assert not task.done()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE_SECONDS)


async def test_no_nats_and_no_waiting(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    server.stop()
    with pytest.raises(NatsUnreachable):
        await serve(settings(server.url), exit_if_no_nats=True)


async def test_a_busy_port_is_told_before_anything_else(nats: NatsServer) -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(PortUnavailable):
        await serve(settings(nats.url, taken.getsockname()[1]))

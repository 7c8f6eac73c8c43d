"""The process: its start, its stop, its signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.broker.uplink import NatsUnreachable
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.core.gateway import Gateway
from wsgw.process import gatewayserver
from wsgw.process import server as process
from wsgw.process.gatewayserver import GatewayServer
from wsgw.process.listeners import PortUnavailable
from wsgw.process.server import TooFewFiles, open_files, serve
from wsgw.process.signals import Signals
from wsgw.tasks import end_all

LINES = [
    "nats: Start up",
    "open files: at most",
    "Start up webServer",
    "Server listening on port",
    "wsServer: Start up wsServer adapter",
    "App runs the jobs...",
    "App starts the shutdown process...",
    "wsServer: Shutting down wsServer adapter",
    "Shut down webServer",
    "nats: Shutting down",
]


def settings(url: str, port: int = 0, drain_seconds: float = 1, drain_delay: float = 0) -> Settings:
    channels = [{"name": "IN", "direction": "inbound"}, {"name": "ASK", "direction": "request", "timeout": 60}]
    file = ConfigFile("test", {"channels": channels, "drain_seconds": drain_seconds, "drain_delay": drain_delay})
    return load({"nats": {"servers": [url]}, "port": port}, {}, file)


Start = Callable[..., Awaitable[tuple["asyncio.Task[None]", int]]]


@pytest.fixture
async def start(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Start]:
    """Starts ``serve``; its task and port."""
    caplog.set_level(logging.INFO, "wsgw")
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    watched = contextlib.ExitStack()

    async def starting(
        url: str, drain_seconds: float = 1, reload: Callable[[], None] | None = None, drain_delay: float = 0
    ) -> tuple[asyncio.Task[None], int]:
        signals = watched.enter_context(Signals(drain_delay + drain_seconds, reload))
        wanted = settings(url, drain_seconds=drain_seconds, drain_delay=drain_delay)
        task = loop.create_task(serve(wanted, signals))
        tasks.append(task)
        await eventually(lambda: task.done() or "App runs the jobs" in caplog.text, "it listens")
        line = next(record for record in caplog.records if "listening on port" in record.getMessage())
        return task, int(line.getMessage().rpartition(" ")[2])

    yield starting
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    watched.close()


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
    positions = [next(i for i, line in enumerate(lines) if line.startswith(wanted)) for wanted in LINES]
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


async def test_a_stop_that_is_announced(
    nats: NatsServer, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness is off, and all else goes on, until ``drain_delay`` is over; a second signal changes nothing."""
    servers: list[GatewayServer] = []

    class Kept(GatewayServer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            servers.append(self)

    monkeypatch.setattr(process, "GatewayServer", Kept)
    task, port = await start(nats.url, drain_delay=3000)
    peer = await Peer.connect(nats.url)
    async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as http:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: "the stop begins in 3000 s" in caplog.text, "it is announced")
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["draining"]) == (503, True)
        assert (await http.get("/healthz")).status_code == 200
        await peer.answer("ASK", lambda payload: payload)
        assert (await http.post("/request/ASK", content=b"?")).text == "?"
        client = RawWebSocket(port, "/ws/IN")
        await client.connect()
        await client.shake_hands()
        await peer.publish("IN", "as ever")
        assert bytes((await client.receive()).data) == b"as ever"
        assert len([record for record in caplog.records if "starts the shutdown" in record.getMessage()]) == 1
        assert not task.done()
        servers[0]._exit()
        assert (await client.receive_close())[0] == 1001
        await client.send(close(1001))
        await asyncio.wait_for(task, DEADLINE_SECONDS)
    client.close()
    await peer.close()


async def test_the_delay_ends(nats: NatsServer, start: Start) -> None:
    task, _ = await start(nats.url, drain_delay=0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("early", [False, True], ids=["then", "before"])
async def test_a_stop_while_nats_is_looked_for(
    start_server: Callable[..., NatsServer], number: int, early: bool
) -> None:
    server = start_server()
    server.freeze()
    with Signals(60) as signals:
        if early:
            os.kill(os.getpid(), number)
        task = asyncio.create_task(serve(settings(server.url), signals, exit_if_no_nats=True))
        if not early:
            await eventually(lambda: "nats: connecting" in {task.get_name() for task in asyncio.all_tasks()}, "a try")
            os.kill(os.getpid(), number)
        await asyncio.wait_for(task, DEADLINE_SECONDS)  # and does not raise NatsUnreachable
    server.thaw()


async def test_the_lifespan_has_its_time(
    nats: NatsServer, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatewayserver, "LIFESPAN_SECONDS", 0.1)
    stuck: list[Gateway] = []

    async def stop(gateway: Gateway, *_: object) -> None:
        stuck.append(gateway)
        await asyncio.Event().wait()

    monkeypatch.setattr(Gateway, "stop", stop)
    task, _ = await start(nats.url, drain_seconds=0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE_SECONDS)
    assert "the end of the lifespan does not come; it is not waited for" in caplog.text
    await end_all(asyncio.all_tasks() - {asyncio.current_task()}, 1)
    (gateway,) = stuck
    await gateway.broker.stop(1)  # else its connection is found, open, by whoever collects garbage


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
    with Signals(60) as signals, pytest.raises(NatsUnreachable):
        await serve(settings(server.url), signals, exit_if_no_nats=True)


async def test_a_busy_port_is_told_before_anything_else(nats: NatsServer) -> None:
    with Signals(60) as signals, socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortUnavailable):
        await serve(settings(nats.url, taken.getsockname()[1]), signals)


class TestOpenFiles:
    @pytest.fixture(autouse=True)
    def limits(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The soft and the hard one."""
        limits = [1024, 4096]
        monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
        monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.__setitem__(slice(None), wanted))
        return limits

    def test_as_many_as_may_be(self, limits: list[int]) -> None:
        assert open_files() == "at most 4096, raised from 1024"
        assert limits == [4096, 4096]
        assert open_files() == "at most 4096"

    def test_where_that_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: int, __: tuple[int, int]) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(resource, "setrlimit", refuse)
        assert "at most 1024; that could not be raised to 4096: [Errno 1] Operation not permitted" in open_files()

    def test_too_few(self, limits: list[int]) -> None:
        limits[:] = [16, 63]
        with pytest.raises(TooFewFiles, match=r"may have 63 open files \(ulimit -Hn\), and needs 64 at least"):
            open_files()
        assert limits == [16, 63]

    def test_without_a_limit(self, limits: list[int]) -> None:
        limits[:] = [1024, resource.RLIM_INFINITY]
        assert open_files() == "any number, raised from 1024"

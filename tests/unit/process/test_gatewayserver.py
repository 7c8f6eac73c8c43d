"""uvicorn's server as the gateway has it: how many it takes at a time, and who does not go by itself."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI

from wsgw.config.addresses import TcpAddress, UnixAddress
from wsgw.config.load import load
from wsgw.core.gateway import Gateway
from wsgw.metrics import Metrics
from wsgw.process.gatewayserver import GatewayServer
from wsgw.process.listeners import open_listeners


async def rounds_for(count: int, folder: Path | None = None) -> int:
    """Of the loop, until so many clients that came at once are accepted."""
    accepted: list[asyncio.Transport] = []

    class Accepted(asyncio.Protocol):
        def __init__(self, **_: object) -> None: ...

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(cast("asyncio.Transport", transport))

    config = uvicorn.Config(FastAPI(), http=Accepted, lifespan="off", log_config=None)
    config.load()
    if folder is None:
        (listener,) = open_listeners([TcpAddress("127.0.0.1", 0)])
    else:
        (listener,) = open_listeners([UnixAddress(str(folder / "s"))])
    listener.repeat()
    app = FastAPI()
    app.state.gateway = Gateway(load({}, {}), Metrics())  # not started
    server = GatewayServer(config, app, listeners=[listener])
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    clients = [socket.socket(listener.socket.family) for _ in range(count)]
    for client in clients:
        client.connect(listener.socket.getsockname())  # the loop stands still
    rounds = 0
    while len(accepted) < count:
        rounds += 1
        await asyncio.sleep(0)
    for transport in accepted:
        transport.abort()
    for client in clients:
        client.close()
    listener.close()
    for serving in server.servers:
        serving.close()
    await asyncio.sleep(0)
    return rounds


def test_many_clients_are_accepted_in_one_round(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(rounds_for(64, folder)) <= 8, "libuv takes one of a listener"


class Connection:
    """One of the HTTP server's whose client takes nothing: it goes when it is dropped."""

    def __init__(self, connections: set[Any]) -> None:
        self.heard: list[str] = []
        self._connections = connections
        connections.add(self)

    def shutdown(self) -> None:
        self.heard.append("shutdown")

    def abort(self) -> None:
        self.heard.append("abort")
        self._connections.discard(self)


async def test_a_connection_that_does_not_close_is_dropped_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    server = GatewayServer(uvicorn.Config(app := FastAPI(), log_config=None), app)
    connection = Connection(server.server_state.connections)
    never = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    server.server_state.tasks.add(never)  # type: ignore[arg-type]
    never.add_done_callback(server.server_state.tasks.discard)
    await server._end_requests(0.1)
    assert connection.heard == ["shutdown", "abort"]
    assert never.cancelled()
    assert caplog.text == ""

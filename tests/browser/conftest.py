"""A browser, two servers of pages beside the gateway's, and a program behind NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from helpers.browser import Browser
from helpers.nats_server import NatsServer
from helpers.node import SOCKET_IO_CLIENT, modules
from helpers.pages import PageServer

#: A name with a dot, that somebody else gives away and that is resolved to this machine.
REBOUND = "evil.example"
#: One that the gateway's operator gave it.
NAMED = "rt.example"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("browser"), REBOUND, f"*.{REBOUND}", NAMED)
    yield made
    made.close()


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def socketio_script() -> str:
    """The stock client as pages load it."""
    return (modules(SOCKET_IO_CLIENT) / "socket.io-client" / "dist" / "socket.io.min.js").read_text()


@pytest.fixture
async def pages(socketio_script: str) -> AsyncIterator[PageServer]:
    """Pages that are not the gateway's."""
    server = PageServer({"/": "<!doctype html><script src=/socket.io.js></script>", "/socket.io.js": socketio_script})
    await server.start()
    yield server
    await server.stop()

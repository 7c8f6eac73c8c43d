"""One nats-server and one gateway for the session, of either kind; own ones for tests that break them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from helpers.client import Transport
from helpers.client_socketio import SocketIOTransport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import AsgiGatewayProcess, GatewayProcess, StartGateway
from helpers.nats_server import NatsServer, StartNats, starting
from helpers.peer import Peer
from helpers.raw import OpenRaw, RawClient
from helpers.transports import RECEIVING, TRANSPORTS

#: The channels of the shared gateways.
CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "IN2", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "OUT2", "direction": "outbound"},
    {"name": "BOTH", "direction": "both"},
    {"name": "prices", "direction": "both", "subject": "market.quotes.eu"},
    {"name": "chat.*", "direction": "both"},
    {"name": "deep.>", "direction": "inbound", "subject": "very.deep.>"},
    {"name": "greetings", "direction": "inbound"},
    {"name": "sum", "direction": "request", "subject": "math.sum", "timeout": "2s"},
    {"name": "silent", "direction": "request", "timeout": "300ms"},
]


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """The NATS server of the session. It stays up."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def jetstream_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One with JetStream, a module's own: channels of the same names have streams in several."""
    folder = tmp_path_factory.mktemp("jetstream")
    server = NatsServer(folder, f"jetstream {{store_dir: {folder}}}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gateway(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The gateway of the session, with CHANNELS. It stays up."""
    yield from _lasting(GatewayProcess(tmp_path_factory.mktemp("gateway"), _configuration(nats_server)))


@pytest.fixture(scope="session")
def asgi_gateway(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The same application at the same NATS server, under another ASGI server. It stays up."""
    yield from _lasting(AsgiGatewayProcess(tmp_path_factory.mktemp("asgi"), _configuration(nats_server)))


def _configuration(nats_server: NatsServer) -> dict[str, Any]:
    return {"nats": {"servers": [nats_server.url]}, "channels": CHANNELS}


def _lasting(process: GatewayProcess) -> Iterator[GatewayProcess]:
    yield process
    assert process.process.poll() is None, f"the gateway ended: {process.output[-5000:]}"
    process.kill()
    assert "Traceback" not in process.output, process.output[-5000:]


@pytest.fixture(params=list(TRANSPORTS))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Each library and transport in turn."""
    transport = {**TRANSPORTS, **RECEIVING}[request.param]()
    yield transport
    await transport.close()


@pytest.fixture
async def peer(nats_server: NatsServer, gateway: GatewayProcess) -> AsyncIterator[Peer]:
    """A program behind the session's NATS server, when the gateway is ready."""
    await gateway.ready()
    peer = await Peer.connect(nats_server.url)
    yield peer
    await peer.close()


@pytest.fixture
async def websocket() -> AsyncIterator[WebSocketTransport]:
    """Opens plain WebSocket clients."""
    transport = WebSocketTransport()
    yield transport
    await transport.close()


@pytest.fixture
async def socketio() -> AsyncIterator[SocketIOTransport]:
    """Opens Socket.IO clients over WebSocket."""
    transport = SocketIOTransport("websocket")
    yield transport
    await transport.close()


@pytest.fixture
async def raw() -> AsyncIterator[OpenRaw]:
    """Opens WebSockets without manners."""
    opened: list[RawClient] = []

    async def open_raw(gateway: GatewayProcess, path: str) -> RawClient:
        opened.append(await RawClient.open(gateway, path))
        return opened[-1]

    yield open_raw
    for client in opened:
        client.close()


@pytest.fixture
def start_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNats]:
    """Start nats-servers with a configuration each."""
    with starting(lambda: tmp_path_factory.mktemp("nats")) as start:
        yield start


@pytest.fixture
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Start gateways at ``servers`` with ``channels``; further keys go into the configuration."""
    processes: list[GatewayProcess] = []

    def start(
        servers: str | list[str],
        channels: list[dict[str, Any]],
        *,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        **more: Any,
    ) -> GatewayProcess:
        nats = {"servers": [servers] if isinstance(servers, str) else servers} | more.pop("nats", {})
        configuration = {"nats": nats, "channels": channels, **more}
        folder = tmp_path_factory.mktemp("gateway")
        processes.append(GatewayProcess(folder, configuration, *arguments, environment=environment))
        return processes[-1]

    yield start
    for process in processes:
        stopped = process.process.poll() == 0  # by a test, which has looked at the log
        process.kill()
        assert stopped or "Traceback" not in process.output, process.output[-5000:]

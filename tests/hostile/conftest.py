"""One nats-server for the session; a gateway of its own for each attack, and one for what must leave no trace."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.nats_server import NatsServer, StartNats, starting
from hostile import form
from hostile.battle import Battle
from hostile.sockets import Target
from hostile.target import HostileGateway, StartHostile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long form's attacks last longer than a test may."""
    for item in items:
        if form.LONG and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """It stays up."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
async def battle(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Battle]:
    """A gateway at default settings, and healthy clients."""
    async with Battle.begin(tmp_path, nats) as battle:
        yield battle


@pytest.fixture(scope="session")
def lasting_gateway(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileGateway]:
    """For attacks that cost nothing: it logs all there is."""
    gateway = HostileGateway(
        tmp_path_factory.mktemp("gateway"), [nats.url], level="silly", limits={"head_timeout": "3s"}
    )
    yield gateway
    gateway.kill()


@pytest.fixture
async def gateway(lasting_gateway: HostileGateway) -> AsyncIterator[HostileGateway]:
    """That one, ready; afterwards it still lives, and its log is clean."""
    await lasting_gateway.ready()
    since = len(lasting_gateway.output)
    yield lasting_gateway
    await lasting_gateway.ready()
    lasting_gateway.check_log(since)


@pytest.fixture
def target(gateway: HostileGateway, nats: NatsServer) -> Target:
    return gateway.target(nats)


@pytest.fixture
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHostile]:
    """Starts gateways, from any thread: servers, and what ``HostileGateway`` takes."""
    folder = tmp_path_factory.mktemp("gateways")
    started: list[HostileGateway] = []

    def start(*servers: str, **options: Any) -> HostileGateway:
        gateway = HostileGateway(Path(tempfile.mkdtemp(dir=folder)), list(servers), **options)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.kill()


@pytest.fixture
def start_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNats]:
    """Starts nats-servers with a configuration each."""
    with starting(lambda: tmp_path_factory.mktemp("nats")) as start:
        yield start

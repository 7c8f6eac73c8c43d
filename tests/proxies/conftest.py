"""One nats-server, a gateway with a path to be below and one without, and each proxy in front of them in each way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.proxied import Site, resolved, site
from helpers.proxies import KINDS, PATH, found, gateway_settings

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "BOTH", "direction": "both"},
    {"name": "SUM", "direction": "request", "subject": "math.sum", "timeout": "20s"},
]


@pytest.fixture(autouse=True, scope="session")
def _name() -> Iterator[None]:
    with resolved():
        yield


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


def configuration(nats: NatsServer, **more: Any) -> dict[str, Any]:
    """The page's, with the tests' channels."""
    return {"nats": {"servers": [nats.url]}, **gateway_settings(), "channels": CHANNELS, **more}


@pytest.fixture(scope="session")
def gateways(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, GatewayProcess]]:
    """By the path that each is below. They stay up."""
    made = {
        path: GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration(nats, **more))
        for path, more in {"": {}, PATH: {"base_path": PATH}}.items()
    }
    yield made
    for each in made.values():
        each.kill()
        assert "Traceback" not in each.output, each.output[-5000:]


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of a proxy that is on this machine."""
    name: str = request.param
    found(name)
    return name


@pytest.fixture(params=["plain", "tls"])
async def served(
    request: pytest.FixtureRequest,
    kind: str,
    gateways: dict[str, GatewayProcess],
    authority: Authority,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    """Each proxy, with TLS and without."""
    async with site(kind, tmp_path, [gateways[""]], authority, tls=request.param == "tls") as made:
        yield made


@pytest.fixture
async def below(
    kind: str, gateways: dict[str, GatewayProcess], authority: Authority, tmp_path: Path
) -> AsyncIterator[Site]:
    """Each proxy, with TLS and what is below a path."""
    async with site(kind, tmp_path, [gateways[PATH]], authority, tls=True, below=True) as made:
        yield made

"""A gateway that surfaces are asked of, and a program behind its NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.running import Running, running


@pytest.fixture
async def direct(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url) as made:
        yield made


@pytest.fixture
def served(direct: Running) -> Running:
    """As ``direct``; where the connection below makes a difference, a module overrides it with ``both_ways``."""
    return direct


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def both_ways(nats: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """On the gateway's own connections, and as under another ASGI server."""
    async with running(nats.url, direct=request.param) as made:
        yield made

"""A gateway that surfaces are asked of, and a program behind its NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()

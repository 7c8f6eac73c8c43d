"""What tests of all kinds have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    """A program behind NATS, at the server that is nearest to the test."""
    made = await Peer.connect(nats.url)
    yield made
    await made.close()

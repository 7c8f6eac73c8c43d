"""A gateway without its surfaces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.session import started
from wsgw.core.gateway import Gateway


@pytest.fixture
async def gateway(nats: NatsServer) -> AsyncIterator[Gateway]:
    async with started(nats.url) as gateway:
        yield gateway

"""What a scope leads to."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from helpers.nats_server import NatsServer
from helpers.running import running
from wsgw.surfaces.application import gateway_of


async def test_the_gateway_of_an_application(nats: NatsServer) -> None:
    async with running(nats.url, ready=False) as served:
        assert gateway_of({"app": served.app}) is served.gateway


def test_an_application_that_was_not_started() -> None:
    with pytest.raises(RuntimeError, match="lifespan"):
        gateway_of({"app": FastAPI()})

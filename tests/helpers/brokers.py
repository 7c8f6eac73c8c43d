"""Brokers as tests make, start and use them."""

from __future__ import annotations

import asyncio

from helpers.waiting import DEADLINE_SECONDS
from wsgw.broker.broker import Broker
from wsgw.broker.subscription import Credentials
from wsgw.errors import GatewayError, Kind
from wsgw.metrics import Metrics


class Brokers:
    """Makes brokers and stops them at the end."""

    def __init__(self) -> None:
        self.made: list[Broker] = []

    def __call__(self, *servers: str, credentials: Credentials | None = None) -> tuple[Broker, Metrics]:
        metrics = Metrics()
        self.made.append(Broker(servers, metrics, credentials))
        return self.made[-1], metrics


async def started(make_broker: Brokers, url: str, credentials: Credentials | None = None) -> tuple[Broker, Metrics]:
    broker, metrics = make_broker(url, credentials=credentials)
    await broker.start()
    await asyncio.wait_for(broker.wait_connected(), DEADLINE_SECONDS)
    return broker, metrics


async def publish(broker: Broker, subject: str, payload: bytes = b"x") -> Kind | None:
    told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
    broker.publish(subject, [payload], told.set_result)
    error = await asyncio.wait_for(told, DEADLINE_SECONDS)
    return None if error is None else error.kind

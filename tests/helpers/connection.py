"""A ``NatsConnection`` to NATS, as tests open and use it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from helpers.waiting import DEADLINE_SECONDS
from wsgw.broker.connection import NatsConnection
from wsgw.broker.headers import HeaderBlock, Sendable
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.errors import GatewayError, Kind
from wsgw.fanout.turn import Turn


class Opened:
    """Opens connections, writes down what they tell, and closes them at the end."""

    def __init__(self) -> None:
        self.connections: list[NatsConnection] = []
        self.settled = 0

    def _settled(self) -> None:
        self.settled += 1

    async def __call__(self, url: str, credentials: Credentials | None = None) -> NatsConnection:
        connection = NatsConnection(self._settled, Turn(asyncio.get_running_loop().call_soon))
        await connection.open(url, credentials or Credentials(), "test", 5)
        self.connections.append(connection)
        return connection


def subject() -> str:
    """One that no other test uses."""
    return f"t.{uuid4().hex}"


async def publish(
    connection: NatsConnection, subject: str, payload: bytes = b"x", headers: Sendable | HeaderBlock | None = None
) -> GatewayError | None:
    told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
    connection.publish(subject, [payload], told.set_result, headers)
    return await asyncio.wait_for(told, DEADLINE_SECONDS)


async def subscribe(connection: NatsConnection, subject: str) -> tuple[NatsSubscription, list[bytes]]:
    payloads: list[bytes] = []
    subscription = NatsSubscription(subject, lambda publication: payloads.append(publication.payload))
    await connection.subscribe(subscription)
    return subscription, payloads


def note(told: list[int], number: int, error: GatewayError | None) -> None:
    if error is None:
        told.append(number)


def kind(error: GatewayError | None) -> Kind | None:
    return None if error is None else error.kind

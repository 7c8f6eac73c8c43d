"""Servers with users and limits, and a peer beside the gateway's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from helpers.connection import Opened
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from wsgw.broker.connection import Connection
from wsgw.broker.subscription import Credentials

#: "limited" may publish to ok.>, requests.> and its inbox, and listen to ok.> and its inbox.
USERS = """
max_payload: 2KB
authorization {
  users = [
    {user: all, password: secret}
    {user: limited, password: secret, permissions: {
      publish: {allow: ["ok.>", "requests.>", "_INBOX.>"]}, subscribe: {allow: ["ok.>", "_INBOX.>"]}}}
  ]
}
"""


@pytest.fixture(scope="package")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with ``USERS``."""
    server = NatsServer(tmp_path_factory.mktemp("nats"), USERS)
    yield server
    server.stop()


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    """A program behind NATS."""
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def _bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(60):
        yield


@pytest.fixture
async def open_connection() -> AsyncIterator[Opened]:
    opened = Opened()
    yield opened
    for connection in opened.connections:
        await connection.close()


@pytest.fixture
async def connection(nats: NatsServer, open_connection: Opened) -> Connection:
    return await open_connection(nats.url)


@pytest.fixture
async def limited(users: NatsServer, open_connection: Opened) -> Connection:
    return await open_connection(users.url, Credentials("limited", "secret"))

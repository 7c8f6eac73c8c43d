"""Servers with users and limits, and a peer beside the gateway's connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer

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

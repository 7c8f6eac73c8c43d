"""WebSockets that are closed and count nowhere, and whose clients do not answer: there are only some at a time.

Under other servers they are the server's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.shares.parting import Parting

from .test_gate import EVIL, shake_hands

ENGINE = "/socket.io/?EIO=4&transport"

Open = Callable[[Running], Awaitable[RawWebSocket]]


async def by_its_origin(served: Running) -> RawWebSocket:
    return await shake_hands(served, "/ws/IN", Origin=EVIL)


async def by_its_token(served: Running) -> RawWebSocket:
    return await served.websocket("/ws/IN?token=wrong")


async def by_its_user(served: Running) -> RawWebSocket:
    return await served.websocket("/ws/IN?token=a")


async def by_its_session(served: Running) -> RawWebSocket:
    """It sends what is no packet."""
    client = await served.websocket(f"{ENGINE}=websocket")
    await client.receive()
    await client.send(text("nothing"))
    return client


async def by_another_probe(served: Running) -> RawWebSocket:
    """One is there already: of a session that is on polling."""
    answer = await served.http.get(f"{ENGINE}=polling")
    path = f"{ENGINE}=websocket&sid={json.loads(answer.text[1:])['sid']}"
    await served.websocket(path)
    return await served.websocket(path)


@pytest.mark.parametrize("refused", [by_its_origin, by_its_token, by_its_user, by_its_session, by_another_probe])
async def test_the_oldest_is_dropped(nats: NatsServer, refused: Open) -> None:
    """Each hears why, and those that are left may answer."""
    tokens = Tokens()
    tokens.add("a", "ann", publish=[">"], subscribe=[">"])
    async with running(nats.url, authenticator=tokens, limits={"user": {"connections": 1}}) as served:
        parting = served.gateway.edge.parting = Parting(2)
        stays = await served.websocket("/ws/IN?token=a")
        clients = []
        for _ in range(4):
            clients.append(await refused(served))
            code, _ = await clients[-1].receive_close()
            assert code in (1002, 4009, 4501, 4503)
        for client in clients[:2]:
            await asyncio.wait_for(client.end(), 2)  # a client has 5 s to answer, else
        assert len(parting) == 2
        for client in clients[2:]:
            await client.send(close(1000))
            await client.end()
        await eventually(lambda: len(parting) == 0, "all are gone")
        await stays.send(close(1000))
        assert await stays.receive_close() == (1000, "")

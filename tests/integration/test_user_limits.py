"""Limits by user, as its clients of every protocol meet them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import socketio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.tokens import SECRET, token
from helpers.waiting import eventually

CHANNELS: list[dict[str, Any]] = [{"name": "IN", "direction": "inbound"}, {"name": "OUT", "direction": "outbound"}]
RIGHTS = {"wsgw": {"subscribe": ["IN"], "publish": ["OUT"]}}


class Users:
    """A gateway with tokens, and clients of its users by every protocol."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.http = httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20)

    async def websocket(self, user: str) -> int | ClientConnection:
        """The connection, or the code it is closed with at once."""
        text = token(RIGHTS | {"sub": user})
        connection = await connect(self.gateway.websocket("IN"), proxy=None, subprotocols=["bearer", text])  # type: ignore[list-item]
        try:
            await (await connection.ping())
        except ConnectionClosed:
            assert connection.close_code is not None
            return connection.close_code
        return connection

    async def socketio(self, user: str, transports: list[str]) -> socketio.AsyncClient | Any:
        """The client, or what its CONNECT is refused with."""
        client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        told: list[Any] = []
        client.on("connect_error", told.append)
        try:
            await client.connect(
                self.gateway.url, transports=transports, auth={"token": token(RIGHTS | {"sub": user})}, wait_timeout=20
            )
        except socketio.exceptions.ConnectionError:
            return told[0]["data"]["error"]["code"]
        return client

    async def stream(self, user: str) -> tuple[int, str]:
        """What the beginning of a stream is, which is dropped then."""
        headers = {"authorization": f"Bearer {token(RIGHTS | {'sub': user})}"}
        async with self.http.stream("GET", "/sse/IN", headers=headers) as answer:
            async for data in answer.aiter_text():
                return answer.status_code, data
        raise AssertionError("an empty answer")

    async def post(self, user: str) -> int:
        headers = {"authorization": f"Bearer {token(RIGHTS | {'sub': user})}"}
        return (await self.http.post("/publish/OUT", content=b"x", headers=headers)).status_code


@pytest.fixture
def users(start_gateway: StartGateway, nats_server: NatsServer) -> Any:
    async def start(**limits: Any) -> Users:
        auth = {"jwt": {"secret": SECRET}}
        gateway = start_gateway(nats_server.url, CHANNELS, trusted_proxies=[], auth=auth, limits=limits)
        await gateway.ready()
        return Users(gateway)

    return start


async def test_connections_of_a_user(users: Any) -> None:
    """By whatever protocol; one that is refused is told so that it may come back, and others feel nothing."""
    served: Users = await users(user={"connections": 2}, address={"connections": 3})
    websocket, sio = await served.websocket("ann"), await served.socketio("ann", ["polling"])
    assert isinstance(websocket, ClientConnection)
    assert isinstance(sio, socketio.AsyncClient)
    assert await served.websocket("ann") == 4009
    assert await served.socketio("ann", ["websocket"]) == "too_many_connections"
    status, said = await served.stream("ann")
    assert status == 200
    assert '"code":"too_many_connections"' in said
    assert int(said.partition("retry: ")[2].partition("\n")[0]) >= 5000
    assert await served.post("ann") == 202
    others = [await served.websocket(f"user {number}") for number in range(5)]
    assert all(isinstance(each, ClientConnection) for each in others)
    await websocket.close()
    await eventually(lambda: served.gateway.metric("wsgw_connections") == 6, "it is gone")
    again = await served.socketio("ann", ["websocket"])
    assert isinstance(again, socketio.AsyncClient)
    await again.disconnect()
    await sio.disconnect()
    for each in others:
        assert isinstance(each, ClientConnection)
        await each.close()
    await eventually(lambda: served.gateway.metric("wsgw_limited_names") == 0, "all is forgotten")
    await served.http.aclose()


async def test_connects_and_messages_of_a_user(users: Any) -> None:
    served: Users = await users(
        user={"connects_per_second": 0.01, "messages_per_second": 0.01},
        address={"connects_per_second": 0.01},
        burst="200s",
    )
    for _ in range(2):
        connection = await served.websocket("ann")
        assert isinstance(connection, ClientConnection)
        await connection.close()
    assert await served.websocket("ann") == 4009
    assert [await served.post("ann") for _ in range(3)] == [202, 202, 429]
    assert [await served.post("bob") for _ in range(2)] == [202, 202]
    bob = await served.websocket("bob")
    assert isinstance(bob, ClientConnection)
    await bob.close()
    await served.http.aclose()

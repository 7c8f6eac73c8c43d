"""Many clients of a gateway that stops: they go in waves, and until its turn comes a client lives as ever."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest
from websockets.frames import Frame, Opcode

from helpers.client_socketio import SocketIOTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close
from helpers.waiting import arrived, eventually

#: 16 waves.
CLIENTS = 400
CHANNELS = [
    {"name": "BOTH", "direction": "both"},
    {"name": "ASK", "direction": "request", "timeout": "60s"},
]


@pytest.fixture
async def gateway(nats_server: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    """One to stop, which takes its time."""
    gateway = start_gateway(nats_server.url, CHANNELS, drain_seconds=20)
    await gateway.ready()
    return gateway


async def leave(client: RawWebSocket, order: list[RawWebSocket]) -> list[bytes]:
    """Wait to be sent away, and go; what came before."""
    got = []
    while (frame := await client.receive()).opcode is not Opcode.CLOSE:
        if frame.opcode is Opcode.TEXT:
            got.append(bytes(frame.data))
    order.append(client)
    await client.send(close(1001))
    client.close()
    return got


async def test_waves(gateway: GatewayProcess, peer: Peer) -> None:
    heard = await peer.listen("BOTH")
    clients = [RawWebSocket(gateway.port, "/ws/BOTH") for _ in range(CLIENTS)]
    for client in clients:
        await client.connect()
        await client.shake_hands()
    await eventually(lambda: gateway.metric("wsgw_connections") == CLIENTS, "they are connected")
    order: list[RawWebSocket] = []
    leaving = [asyncio.create_task(leave(client, order)) for client in clients]
    gateway.send(signal.SIGTERM)
    await eventually(lambda: order, "the first one goes")
    assert len(order) < CLIENTS / 2
    await peer.publish("BOTH", "late")
    await clients[-1].send(Frame(Opcode.TEXT, b"later"))
    await arrived(heard, 2)
    got = await asyncio.gather(*leaving)
    assert got[0] == []
    assert sorted(got[-1]) == [b"late", b"later"]
    assert set(order[:20]) < set(clients[:100]), "those first that came first"
    assert await gateway.ended() == 0


async def test_what_is_asked_is_answered(gateway: GatewayProcess, peer: Peer, socketio: SocketIOTransport) -> None:
    """Before who asked is sent away."""
    asked = await peer.messages("ASK")
    client = await socketio.open(gateway)
    ack = await client.emit("ASK", "a")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        answer = asyncio.create_task(http.post(f"{gateway.url}/request/ASK", content=b"b"))
        await eventually(lambda: len(asked) == 2, "both are asked")
        gateway.send(signal.SIGTERM)
        await gateway.printed("wsServer: Shutting down wsServer adapter")
        for message in asked:
            await message.respond(message.data.upper())
        assert (await answer).text == "B"
        assert await asyncio.wait_for(ack, 30) == ("A",)
    assert await gateway.ended() == 0


async def test_what_is_announced(nats_server: NatsServer, start_gateway: StartGateway, peer: Peer) -> None:
    gateway = start_gateway(nats_server.url, CHANNELS, drain_delay=2)
    await gateway.ready()
    heard = await peer.listen("BOTH")
    gateway.send(signal.SIGTERM)
    await gateway.ready(False)
    assert await gateway.post("/publish/BOTH", b"as ever") == (202, "")
    await arrived(heard, 1)
    assert "wsServer: Shutting down" not in gateway.output
    assert await gateway.ended() == 0

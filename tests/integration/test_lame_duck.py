"""A NATS server in lame duck mode, of three: the gateway is at another one before it goes, and nothing is missed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from nats.errors import Error as NatsError

from helpers.client_socketio import SocketIOTransport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_cluster import cluster, wanted
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.traffic import Traffic
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "room.*", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "KEPT", "direction": "both", "durable": {"replicas": 3, "storage": "memory"}},
    {"name": "ASK", "direction": "request", "timeout": "20s"},
]


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NatsServer]]:
    made = cluster(tmp_path_factory.mktemp)
    yield made
    for server in made:
        server.stop()


@pytest.fixture
async def gateway(servers: list[NatsServer], start_gateway: StartGateway) -> GatewayProcess:
    """At the first of them."""
    gateway = start_gateway([server.url for server in servers], CHANNELS)
    await gateway.ready()
    return gateway


@pytest.fixture
async def peers(servers: list[NatsServer]) -> AsyncIterator[list[Peer]]:
    """At those that stay."""
    made = [await Peer.connect(server.url, allow_reconnect=False) for server in servers[1:]]
    yield made
    for peer in made:
        await peer.close()


async def test_nothing_is_missed(
    servers: list[NatsServer],
    gateway: GatewayProcess,
    peers: list[Peer],
    websocket: WebSocketTransport,
    socketio: SocketIOTransport,
) -> None:
    listening = await websocket.open(gateway, "IN", "room.1", "KEPT")
    sending = await socketio.open(gateway)
    heard = await peers[1].listen("OUT")
    await peers[0].answer("ASK", lambda payload: payload)
    await wanted(servers[0], "OUT", "ASK")
    for server in servers[1:]:
        await wanted(server, "IN", "room.1")
    traffic = {name: Traffic(name, peers) for name in ("IN", "room.1")}
    for each in traffic.values():
        each.start()
    kept: list[int] = []
    acks: list[asyncio.Future[tuple[object, ...]]] = []
    replies: list[asyncio.Future[tuple[object, ...]]] = []
    moved = asyncio.Event()

    async def store() -> None:
        while not moved.is_set():
            number = len(kept)
            with suppress(NatsError):  # an election: the same one again
                kept.append(await peers[0].store("KEPT", number, headers={"Nats-Msg-Id": f"{number}"}))
            await asyncio.sleep(0.005)

    async def send() -> None:
        while not moved.is_set():
            acks.append(await sending.emit("OUT", str(len(acks))))
            if len(acks) % 20 == 0:
                replies.append(await sending.emit("ASK", str(len(acks))))
            await asyncio.sleep(0.005)

    working = [asyncio.create_task(work()) for work in (store, send)]
    await arrived(listening.received, 100)
    servers[0].lame_duck()
    await gateway.printed("goes soon (lame duck mode)")
    await eventually(lambda: gateway.metric("wsgw_nats_reconnects_total") == 1, "it has moved")
    await asyncio.sleep(4)  # both bring everything for a while, then one
    servers[0].stop()
    await asyncio.sleep(1)
    moved.set()
    await asyncio.gather(*working)
    for each in traffic.values():
        await each.stop()

    def received(channel: str) -> list[str | bytes]:
        return [payload for name, payload in listening.received if name == channel]

    for name, each in traffic.items():
        await eventually(lambda: each.missing(received(name)) == 0, name)  # noqa: B023
    await eventually(lambda: received("KEPT") == [str(number) for number in range(len(kept))], "what is kept")
    await eventually(lambda: all(ack.done() for ack in (*acks, *replies)), "every answer")
    assert {ack.result() for ack in acks} == {(True,)}
    assert {type(reply.result()[0]) for reply in replies} == {str}
    assert heard == [b"%d" % number for number in range(len(acks))]
    assert gateway.metric("wsgw_gaps_total") == 0
    assert gateway.metric("wsgw_nats_reconnects_total") == 1
    assert "connection lost" not in gateway.output


async def test_the_gateway_says_so(servers: list[NatsServer], gateway: GatewayProcess) -> None:
    """And is ready all the while."""
    servers[0].lame_duck()
    while gateway.metric("wsgw_nats_reconnects_total") == 0:
        status, body = gateway.readiness()
        assert (status, body["nats"]) == (200, "connected"), json.dumps(body)
        await asyncio.sleep(0.01)
    await gateway.printed(f"Connected to {servers[1].url}")

"""Clients that take nothing, or vanish: the others do not notice, and the gateway's memory stays bounded."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.frames import Opcode

from helpers.client import Transport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.polling import open_polling
from helpers.raw import OpenRaw, RawClient, frame
from helpers.waiting import arrived, eventually

OUTBOX_BYTES = 1024 * 1024
CHANNELS = [
    {"name": "IN", "direction": "inbound", "outbox": {"messages": 1000, "bytes": OUTBOX_BYTES}},
    {"name": "OUT", "direction": "outbound"},
]
SIZE_BYTES = 50_000
#: What the system's socket buffers and the transport's own may hold of one connection, besides the outbox.
BUFFERS_BYTES = 8 * 1024 * 1024


async def stalled_websocket(gateway: GatewayProcess, raw: OpenRaw) -> RawClient:
    """A plain WebSocket that is never read from."""
    return await raw(gateway, "/ws/IN")


async def stalled_socketio(gateway: GatewayProcess, raw: OpenRaw) -> RawClient:
    """A Socket.IO client over WebSocket that reads nothing after it said CONNECT."""
    client = await raw(gateway, "/socket.io/?EIO=4&transport=websocket&channels=IN")
    await client.say_connect()
    return client


@pytest.fixture
async def gateway(nats_server: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    """One for these tests, with small outboxes."""
    gateway = start_gateway(nats_server.url, CHANNELS)
    await gateway.ready()
    return gateway


async def test_stalled_beside_healthy(gateway: GatewayProcess, peer: Peer, transport: Transport, raw: OpenRaw) -> None:
    healthy = await transport.open(gateway, "IN")
    await stalled_websocket(gateway, raw)
    await stalled_socketio(gateway, raw)
    async with httpx.AsyncClient(trust_env=False) as http:
        await open_polling(http, gateway, "IN")  # and never polls
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="IN") == 4, "all are subscribed")
    before = gateway.resident_bytes()
    payloads = [str(number).ljust(SIZE_BYTES, ".") for number in range(600)]
    for start in range(0, len(payloads), 10):  # as fast as the healthy one takes it
        await peer.publish("IN", *payloads[start : start + 10])
        await arrived(healthy.received, start + 10)
    assert [payload for _, payload in healthy.received] == payloads

    assert gateway.metric("wsgw_dropped_messages_total", channel="IN", policy="drop_oldest") > 300
    assert 0 < gateway.metric("wsgw_outbox_bytes") <= 3 * (OUTBOX_BYTES + SIZE_BYTES)
    grown = gateway.resident_bytes() - before
    assert grown < 3 * OUTBOX_BYTES + 4 * BUFFERS_BYTES, f"{grown} bytes of {3 * 600 * SIZE_BYTES} that were not taken"
    assert healthy.connected


async def test_a_slow_client_gets_the_newest_in_order(gateway: GatewayProcess, peer: Peer, raw: OpenRaw) -> None:
    """Drops come from the old end, whole messages only; order stays."""
    client = await raw(gateway, "/ws/IN")
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="IN") == 1, "it is subscribed")
    count = 600
    await peer.publish("IN", *(str(number).ljust(SIZE_BYTES, ".") for number in range(count)))
    await eventually(
        lambda: gateway.metric("wsgw_nats_messages_total", channel="IN") == count, "all came to the gateway"
    )
    numbers: list[int] = []
    while not numbers or numbers[-1] != count - 1:
        received = await client.receive()
        assert len(received.data) == SIZE_BYTES
        numbers.append(int(bytes(received.data).rstrip(b".")))
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    dropped = gateway.metric("wsgw_dropped_messages_total", channel="IN")
    assert dropped > 0
    assert len(numbers) == count - dropped
    assert gateway.metric("wsgw_outbox_messages") == 0


async def test_clients_that_vanish(
    gateway: GatewayProcess, peer: Peer, websocket: WebSocketTransport, raw: OpenRaw
) -> None:
    """With full outboxes, and in the middle of a frame of their own."""
    healthy = await websocket.open(gateway, "IN")
    stalled = [await stall(gateway, raw) for stall in (stalled_websocket, stalled_socketio) for _ in range(5)]
    halfway = await raw(gateway, "/ws/OUT")
    await halfway.send_parts(frame(Opcode.TEXT, b"x" * 1000)[:500])
    await eventually(lambda: gateway.metric("wsgw_connections") == 12, "all are connected")
    for _ in range(30):
        await peer.publish("IN", *(["x" * SIZE_BYTES] * 10))
        await arrived(healthy.received, 10)
        healthy.received.clear()
    await eventually(lambda: gateway.metric("wsgw_outbox_bytes") > 0, "something waits")
    for client in [*stalled, halfway]:
        client.close()
    await eventually(lambda: gateway.metric("wsgw_connections") == 1, "they are gone")
    assert gateway.metric("wsgw_outbox_bytes") == 0
    assert gateway.metric("wsgw_outbox_messages") == 0
    assert gateway.metric("wsgw_subscriptions", channel="IN") == 1
    assert gateway.metric("wsgw_closes_total", code="1006") == 11
    await peer.publish("IN", "still here")
    await arrived(healthy.received, 1)


async def test_a_sender_faster_than_nats_is_held_back_not_refused(
    gateway: GatewayProcess, peer: Peer, websocket: WebSocketTransport
) -> None:
    heard = await peer.listen("OUT")
    clients = [await websocket.open(gateway) for _ in range(4)]

    async def pour(client_number: int) -> list[str]:
        client = clients[client_number]
        for number in range(10_000):
            await client.send("OUT", f"{client_number} {number}")
        return await client.confirm()

    assert await asyncio.gather(*map(pour, range(4))) == [[], [], [], []]
    await arrived(heard, 40_000)
    for client_number in range(4):
        mine = [payload for payload in heard if payload.startswith(b"%d " % client_number)]
        assert mine == [b"%d %d" % (client_number, number) for number in range(10_000)]

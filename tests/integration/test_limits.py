"""Limits by connection, user and address, as clients of every protocol meet them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
import socketio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from helpers.client import Refused, Transport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.transports import TRANSPORTS
from helpers.waiting import arrived, eventually

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "SUM", "direction": "request", "subject": "math.sum"},
]
#: Their libraries say what an HTTP refusal said.
TELLING = ["websocket", "sio-websocket", "sio-polling", "sio-upgrade", "sse", "sse-several"]
ACKING = [name for name in TRANSPORTS if name != "websocket"]

telling = pytest.mark.parametrize("transport", TELLING, indirect=True)
acking = pytest.mark.parametrize("transport", ACKING, indirect=True)


@pytest.fixture
def limited(start_gateway: StartGateway, nats_server: NatsServer) -> Any:
    """Starts a gateway with ``limits``, at which every client of this machine has the same address."""

    async def start(**limits: Any) -> GatewayProcess:
        gateway = start_gateway(nats_server.url, CHANNELS, trusted_proxies=[], limits=limits)
        await gateway.ready()
        return gateway

    return start


async def refusal(opening: Any) -> str:
    """By which error a client is refused, however it is told."""
    try:
        await opening
    except Refused as refused:
        return refused.code
    except InvalidStatus as error:
        response = error.response
    except socketio.exceptions.ConnectionError as error:
        return str(error)
    else:
        raise AssertionError("it was taken")
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    code: str = json.loads(response.body or b"")["error"]["code"]
    return code


def is_of(said: str, code: str) -> bool:
    """Whether what a client ``said`` is the error ``code``; Engine.IO's clients have words of their own."""
    words = code.replace("_", " ").capitalize()
    return said == code or words in said or "429" in said or "Connection error" in said


@telling
async def test_connections_of_an_address(transport: Transport, limited: Any) -> None:
    gateway = await limited(address={"connections": 2})
    first, second = await transport.open(gateway, "IN", alone=True), await transport.open(gateway, "IN", alone=True)
    for _ in range(3):
        assert is_of(await refusal(transport.open(gateway, "IN")), "too_many_connections")
    assert gateway.metric("wsgw_rejected_total", reason="too_many_connections") == 3
    await first.close()
    await eventually(lambda: gateway.metric("wsgw_connections") == 1, "it is gone")
    third = await transport.open(gateway, "IN", alone=True)
    assert is_of(await refusal(transport.open(gateway, "IN")), "too_many_connections")
    await second.vanish()
    await third.close()
    await eventually(lambda: gateway.metric("wsgw_limited_names", scope="address") == 0, "all is forgotten")
    await transport.open(gateway, "IN")


@telling
async def test_connects_of_an_address(transport: Transport, limited: Any) -> None:
    gateway = await limited(address={"connects_per_second": 0.05}, burst="60s")
    for _ in range(3):
        await (await transport.open(gateway, "IN")).close()
    before = gateway.metric("wsgw_rejected_total", reason="rate_limited")
    assert before == 0
    assert is_of(await refusal(transport.open(gateway, "IN")), "rate_limited")
    assert gateway.metric("wsgw_rejected_total", reason="rate_limited") == 1
    assert gateway.metric("wsgw_limited_total", scope="address", limit="connects") == 1


@pytest.mark.parametrize("transport", ["sio-upgrade"], indirect=True)
async def test_an_upgrade_is_no_connection_of_its_own(transport: Transport, limited: Any) -> None:
    gateway = await limited(address={"connections": 1, "connects_per_second": 0.01})
    client = await transport.open(gateway, "IN")
    await eventually(lambda: client.upgraded, "the upgrade")
    await client.send("OUT", "x")
    assert await client.confirm() == []
    await client.close()
    await eventually(lambda: gateway.metric("wsgw_connections") == 0, "it is gone")


async def test_without_trusted_proxies_no_address_counts(
    start_gateway: StartGateway, nats_server: NatsServer, websocket: Any
) -> None:
    """Here all are of this machine, and there may be a proxy."""
    gateway = start_gateway(nats_server.url, CHANNELS, limits={"address": {"connections": 1}})
    await gateway.ready()
    for _ in range(3):
        await websocket.open(gateway, "IN")


@acking
async def test_messages_over_the_rate_are_refused(transport: Transport, limited: Any, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    gateway = await limited(messages_per_second=0.01, burst="500s")
    client = await transport.open(gateway)
    neighbour = await transport.open(gateway)
    for number in range(8):
        await client.send("OUT", str(number))
    assert await client.confirm() == ["rate_limited"] * 3
    await arrived(heard, 5)
    assert heard == [b"0", b"1", b"2", b"3", b"4"]
    for number in range(5):
        await neighbour.send("OUT", f"other {number}")
    assert await neighbour.confirm() == []
    await arrived(heard, 10)
    assert gateway.metric("wsgw_publish_errors_total", channel="OUT", reason="rate_limited") == 3
    assert gateway.metric("wsgw_limited_total", scope="session", limit="messages") == 3
    await peer.answer("math.sum", lambda _: b"0")
    with pytest.raises(Refused, match="rate_limited"):
        await client.request("SUM", "1")


@acking
async def test_bytes_over_the_rate_are_refused(transport: Transport, limited: Any, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    gateway = await limited(bytes_per_second=1024, burst="1s", rate_timeout="1h")
    client = await transport.open(gateway)
    payloads: list[str | bytes] = ["ä" * 300, b"\xff" * 300, "y" * 600, "z" * 10]
    for payload in payloads:
        await client.send("OUT", payload)
    assert await client.confirm() == ["rate_limited"]
    await arrived(heard, 3)
    assert heard == [("ä" * 300).encode(), b"\xff" * 300, b"z" * 10]


@acking
async def test_who_goes_on_is_closed(transport: Transport, limited: Any) -> None:
    gateway = await limited(messages_per_second=1, burst="1s", rate_timeout="1s")
    client, neighbour = await transport.open(gateway, alone=True), await transport.open(gateway, alone=True)

    async def goes_on() -> bool:
        if client.connected:
            await client.send("OUT", "x")
        return not client.connected

    deadline = time.monotonic() + 20
    while not await goes_on():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)  # the rate at which it goes on
    await eventually(lambda: gateway.metric("wsgw_closes_total", code="4009") == 1, "counted")
    assert neighbour.connected
    assert "closed: rate_limited" in gateway.output


async def numbers(gateway: GatewayProcess, count: int, size: int = 0) -> ClientConnection:
    """A plain WebSocket that has sent so many, and as fast as it could."""
    connection = await connect(gateway.websocket("OUT"), proxy=None, compression=None)
    for number in range(count):
        await connection.send(str(number).rjust(size))
    return connection


async def test_a_plain_websocket_is_held_back(limited: Any, peer: Peer) -> None:
    """Nothing of what it sends is lost, and the close is answered behind all of it."""
    heard = await peer.listen("OUT")
    gateway = await limited(messages_per_second=200, burst="500ms", rate_timeout="1h")
    begun = time.monotonic()
    connection = await numbers(gateway, 300)
    await connection.close()
    assert connection.close_code == 1000
    assert time.monotonic() - begun >= 0.5  # its 300 take a second, of which the first half is the burst's
    assert heard == [b"%d" % number for number in range(300)]
    assert gateway.metric("wsgw_limited_total", scope="session", limit="messages") > 0
    assert gateway.metric("wsgw_publish_errors_total", channel="OUT", reason="rate_limited") == 0


async def test_a_plain_websocket_that_goes_on_is_closed(limited: Any, peer: Peer) -> None:
    """4009 says how much of what it sent was accepted."""
    heard = await peer.listen("OUT")
    gateway = await limited(messages_per_second=20, burst="500ms", rate_timeout="1s")
    neighbour = await connect(gateway.websocket("OUT"), proxy=None)
    connection = await connect(gateway.websocket("OUT"), proxy=None, compression=None)
    sent = 0
    with suppress(ConnectionClosed):
        while sent < 10_000:
            await connection.send(str(sent))
            sent += 1
            await asyncio.sleep(0.01)  # the rate at which it goes on
    await connection.wait_closed()
    assert connection.close_code == 4009
    assert heard == [b"%d" % number for number in range(len(heard))]
    assert 10 <= len(heard) < sent
    assert gateway.metric("wsgw_closes_total", code="4009") == 1
    await neighbour.send("x")
    await neighbour.close()
    assert neighbour.close_code == 1000


@pytest.mark.parametrize("transport", TRANSPORTS, indirect=True)
async def test_a_message_may_have_so_many_bytes(transport: Transport, limited: Any, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    gateway = await limited(message_bytes=1000)
    client = await transport.open(gateway)
    await client.send("OUT", "x" * 1000)
    await client.send("OUT", "x" * 1001)
    if not transport.acks:
        await eventually(lambda: not client.connected, "the gateway's close")
    assert await client.confirm() == ["too_large"]
    await arrived(heard, 1)
    assert heard == [b"x" * 1000]


async def test_posts(limited: Any, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    gateway = await limited(
        address={"messages_per_second": 0.01, "bytes_per_second": 1024}, burst="500s", message_bytes=1024
    )
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
        for _ in range(5):
            assert (await http.post("/publish/OUT", content=b"x")).status_code == 202
        for path in ("/publish/OUT", "/request/SUM", "/publish/nowhere"):
            answer = await http.post(path, content=b"x")
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert (await http.get("/healthz")).status_code == 200
    assert gateway.metric("wsgw_rejected_total", reason="rate_limited") == 3
    await arrived(heard, 5)


async def test_a_post_that_is_too_large(limited: Any) -> None:
    gateway = await limited(message_bytes=10)
    assert await gateway.post("/publish/OUT", b"x" * 10) == (202, "")
    assert await gateway.post("/publish/OUT", b"x" * 11) == (413, "too_large")


async def test_connections_are_counted_right_after_a_storm(limited: Any) -> None:
    """Handshakes that come to nothing, drops, closes and refusals, all at once: nothing is left of them."""
    gateway = await limited(address={"connections": 20})

    refusals: list[int] = []

    async def one(number: int) -> None:
        path = ("IN", "IN", "nowhere", "IN?since=bad")[number % 4]
        try:
            connection = await connect(gateway.websocket(path), proxy=None)
        except InvalidStatus as error:
            refusals.append(error.response.status_code)
            return
        if number % 3:
            await connection.close()
        else:
            connection.transport.abort()

    async def half(number: int) -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as http:
            answer = await http.get(f"/socket.io/?EIO=4&transport={'polling' if number % 2 else 'none'}")
            if answer.status_code == 200 and number % 4 == 1:
                sid = json.loads(answer.text[1:])["sid"]
                await http.post(f"/socket.io/?EIO=4&transport=polling&sid={sid}", content="1")

    for _ in range(3):
        await asyncio.gather(*map(one, range(60)), *map(half, range(20)))
    assert set(refusals) == {429}
    await eventually(lambda: gateway.metric("wsgw_connections") == 0, "all are gone")
    # sessions of Engine.IO that said nothing are left, until they are dropped: 5 of each 20, at most
    assert gateway.metric("wsgw_limited_names", scope="address") <= 1
    await gateway.stop()

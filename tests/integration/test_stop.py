"""A gateway that is told to stop: clients hear of it, what they sent is settled, and it does not take long."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from helpers.client import Transport
from helpers.client_socketio import SocketIOTransport
from helpers.client_websocket import WebSocketTransport
from helpers.event_stream import EventClient
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.polling import open_polling
from helpers.raw import OpenRaw
from helpers.raw_http import RawPost
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "ask", "direction": "request", "timeout": "60s"},
]


@pytest.fixture
async def gateway(nats_server: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    """One to stop."""
    gateway = start_gateway(nats_server.url, CHANNELS)
    await gateway.ready()
    return gateway


async def test_clients_are_closed(gateway: GatewayProcess, transport: Transport, peer: Peer) -> None:
    clients = [await transport.open(gateway, "IN") for _ in range(5)]
    await peer.publish("IN", "last")
    for client in clients:
        await arrived(client.received, 1)
    await gateway.stop()
    await eventually(lambda: not any(client.connected for client in clients), "the clients know")


async def test_close_codes(gateway: GatewayProcess, raw: OpenRaw) -> None:
    plain = await raw(gateway, "/ws/IN")
    socketio = await raw(gateway, "/socket.io/?EIO=4&transport=websocket")
    await socketio.say_connect()
    await eventually(lambda: gateway.metric("wsgw_connections") == 2, "both are connected")
    stopping = asyncio.create_task(gateway.stop())
    assert await plain.closed() == 1001
    assert await socketio.closed() == 1001
    plain.close()  # the gateway waits for the answer to its close
    await stopping


async def test_streams_end(gateway: GatewayProcess, peer: Peer) -> None:
    """In good order, behind what was published; one that takes nothing does not hold the stop up."""
    streams = [EventClient(gateway.port, receive_buffer_bytes) for receive_buffer_bytes in (None, None, 4096)]
    for stream in streams:
        await stream.connect()
        await stream.ask("/sse/IN")
    *reading, stalled = streams
    await eventually(lambda: gateway.metric("wsgw_connections") == 3, "they are connected")
    payloads = [f"{number:03}".ljust(100_000) for number in range(50)]
    await peer.publish("IN", *payloads)
    for stream in reading:
        assert await stream.answer() == 200
        assert [(await stream.next()).data for _ in payloads] == payloads
        stream.parser.retry = None
    await eventually(lambda: gateway.metric("wsgw_outbox_messages") > 0, "one is stalled")
    await gateway.stop()
    for stream in reading:
        assert await stream.end() == "chunks"
        assert stream.parser.retry is not None
        stream.close()
    stalled.close()


async def test_with_clients_that_do_not_take_part(gateway: GatewayProcess, peer: Peer, raw: OpenRaw) -> None:
    """Stalled ones, one that does not answer the close, an idle HTTP connection, a poll and a request in flight."""
    for _ in range(3):
        await raw(gateway, "/ws/IN")
    await eventually(lambda: gateway.metric("wsgw_connections") == 3, "they are connected")
    await peer.publish("IN", *(["x" * 100_000] * 100))
    await eventually(lambda: gateway.metric("wsgw_outbox_messages") > 0, "they are stalled")
    asked = await peer.listen("ask")
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        url = await open_polling(http, gateway, "IN")
        await http.get(url)
        poll = asyncio.create_task(http.get(url))
        request = asyncio.create_task(http.post(f"{gateway.url}/request/ask", content=b"?"))
        await arrived(asked, 1)
        await gateway.stop()
        assert (await poll).text.endswith("1")  # Engine.IO's close packet
        assert (await request).status_code in (503, 504)


async def test_what_was_sent_is_settled(gateway: GatewayProcess, peer: Peer, websocket: WebSocketTransport) -> None:
    """A stop in the middle of a stream: 1001, and what NATS got is the beginning of what was sent."""
    heard = await peer.listen("OUT")
    client = await websocket.open(gateway)
    payloads = [b"%d" % number for number in range(20_000)]

    async def pour() -> None:
        for payload in payloads:
            await client.send("OUT", payload)

    pouring = asyncio.create_task(pour())
    await arrived(heard, 1000)
    await gateway.stop()
    await pouring
    assert await client.confirm() == ["draining"]
    await peer.publish("OUT", "mark")
    await eventually(lambda: b"mark" in heard, "the mark")
    heard.remove(b"mark")
    assert heard == payloads[: len(heard)]


async def test_acknowledged_is_delivered(gateway: GatewayProcess, peer: Peer, socketio: SocketIOTransport) -> None:
    heard = await peer.listen("OUT")
    client = await socketio.open(gateway)
    acks = [await client.emit("OUT", str(number)) for number in range(5000)]
    await arrived(heard, 100)
    await gateway.stop()
    await peer.publish("OUT", "mark")
    await eventually(lambda: b"mark" in heard, "the mark")
    accepted = [b"%d" % number for number, ack in enumerate(acks) if ack.done() and ack.result() == (True,)]
    assert len(accepted) >= 100  # what was heard before the stop, at least
    assert set(accepted) <= set(heard)


async def test_no_new_clients(start_nats: StartNats, start_gateway: StartGateway, raw: OpenRaw) -> None:
    """While a stop waits for a client, /readyz says so and nobody is let in."""
    gateway = start_gateway(start_nats().url, CHANNELS, drain_seconds=3)
    await gateway.ready()
    await raw(gateway, "/ws/IN")  # it will not answer the close
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.get(f"{gateway.url}/healthz")  # a kept-alive connection: the listening socket goes first
        stopping = asyncio.create_task(gateway.stop())
        await gateway.printed("wsServer: Shutting down wsServer adapter")
        answer = await http.get(f"{gateway.url}/readyz")
        assert (answer.status_code, answer.json()["draining"]) == (503, True)
        answer = await http.post(f"{gateway.url}/publish/OUT", content=b"late")
        assert answer.status_code == 503
        assert answer.json() == {"error": {"code": "draining", "message": "the gateway is stopping"}}
    with pytest.raises((OSError, InvalidStatus)):
        await connect(gateway.websocket("IN"), proxy=None)
    await stopping


async def test_while_nats_is_away(start_nats: StartNats, start_gateway: StartGateway) -> None:
    nats = start_nats()
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    nats.freeze()
    await gateway.stop()


#: Paths of POSTs, "poll" for that of a polling Socket.IO session.
POSTS = ["poll", "/publish/OUT", "/request/ask"]


async def begun(gateway: GatewayProcess, path: str, length: int | None) -> RawPost:
    """A POST without its body."""
    if path == "poll":
        async with httpx.AsyncClient(trust_env=False) as http:
            path = (await open_polling(http, gateway, "IN")).removeprefix(gateway.url)
    return await RawPost.begin(gateway.port, path, length)


def complaints(gateway: GatewayProcess) -> list[str]:
    """What it logged of level warning and above, but for what it says of requests that it refused before the stop."""
    lines = [line for line in gateway.output.splitlines() if "warn" in line.lower() or "error" in line.lower()]
    return [line for line in lines if "warn: refused: " not in line]


@pytest.mark.parametrize("path", POSTS)
async def test_with_a_post_that_does_not_end(gateway: GatewayProcess, path: str) -> None:
    post = await begun(gateway, path, 100)
    await post.send(b"4")
    await gateway.ready()  # asked later: the POST is being read
    await gateway.stop(deadline_seconds=4)
    assert await post.status() in (503, 504)
    assert complaints(gateway) == []
    post.close()


@pytest.mark.parametrize("path", POSTS)
async def test_with_a_refused_post_that_does_not_end(gateway: GatewayProcess, path: str) -> None:
    post = await begun(gateway, path, 10**12)
    assert await post.status() == 413
    await gateway.stop(deadline_seconds=4)
    assert complaints(gateway) == []
    post.close()


@pytest.mark.parametrize("drain_seconds", [1, 4])
async def test_with_a_post_that_is_held_back(
    start_nats: StartNats, start_gateway: StartGateway, drain_seconds: int
) -> None:
    """Its packets wait for a NATS that stands still."""
    nats = start_nats()
    gateway = start_gateway(nats.url, CHANNELS, drain_seconds=drain_seconds)
    await gateway.ready()
    body = b"\x1e".join([b'42["OUT","x"]'] * 20_000)
    post = await begun(gateway, "poll", len(body))
    nats.freeze()
    await post.send(body)
    await eventually(lambda: gateway.metric("wsgw_publishes_in_flight") > 16_384, "it is held back")
    await gateway.stop()
    assert await post.status() == 503
    not_answered, not_confirmed = complaints(gateway)
    assert "1 clients did not finish in time" in not_answered
    assert "not everything in flight was confirmed" in not_confirmed
    post.close()


#: What is not a whole request.
HALVES = {
    "nothing": b"",
    "head": b"GET /healthz HT",
    "headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "behind a request": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
    "handshake": b"GET /ws/IN HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
    "body": b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab",
    "body of a refused one": b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab",
    "chunk": b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


async def test_with_requests_that_do_not_go_on(gateway: GatewayProcess) -> None:
    streams = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in HALVES]
    for (_, writer), half in zip(streams, HALVES.values(), strict=True):
        writer.write(half)
    assert (await streams[3][0].readline()).startswith(b"HTTP/1.1 200")
    await eventually(lambda: gateway.metric("wsgw_rejected_total", reason="not_found") == 1, "one is refused")
    await gateway.stop()
    assert complaints(gateway) == []
    for _, writer in streams:
        writer.close()


_HANDSHAKE = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /ws/IN?%b HTTP/1.1\r\n%b\r\n" % (b"a" * 70_000, _HANDSHAKE), 414),
        (b"GET /ws/IN HTTP/1.1\r\n%bCookie: %b\r\n\r\n" % (_HANDSHAKE, b"a" * 70_000), 431),
        (b"GET /ws/IN HTTP/1.1\r\n%b%b\r\n" % (_HANDSHAKE, b"X: a\r\n" * 130), 431),
        (b"GET /ws/IN HTTP/1.1\r\n%bContent-Length: 5\r\n\r\nhello" % _HANDSHAKE, 400),
    ],
    ids=["long path", "long cookie", "many headers", "body"],
)
async def test_a_handshake_that_cannot_be_read(gateway: GatewayProcess, request_bytes: bytes, status: int) -> None:
    """It is answered and its connection closed; one that came just now does not disturb a stop."""
    for stopping in (False, True):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request_bytes)
        if stopping:
            await gateway.stop()
        else:
            async with asyncio.timeout(10):
                assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
        writer.close()


async def test_a_websocket_whose_subscription_is_being_made(start_nats: StartNats, start_gateway: StartGateway) -> None:
    """It is refused when the stop waits no longer, and nothing but the stop is in the log."""
    nats = start_nats()
    gateway = start_gateway(nats.url, [{"name": "chat.*", "direction": "inbound"}])
    await gateway.ready()
    nats.freeze()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /ws/chat.1 HTTP/1.1\r\n%b\r\n" % _HANDSHAKE)
    await eventually(lambda: gateway.metric("wsgw_subjects", channel="chat.*") == 1, "it is being joined")
    await gateway.stop()
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()
    assert "error:" not in gateway.output

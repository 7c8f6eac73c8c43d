"""Durable channels on an installed gateway: what clients that were away, or are new, get over each protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from helpers.event_stream import EventParser, SentEvent
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.protocols.websocket.request import ENVELOPE_PROTOCOL

CHANNELS: list[dict[str, Any]] = [
    {"name": "orders", "direction": "both", "durable": True, "headers": ["Kind"]},
    {"name": "page", "direction": "inbound", "durable": True, "on_join": {"last": 2}, "payload": "json"},
    {"name": "room.*", "direction": "both", "durable": {"stream": "ROOMS"}},
    {"name": "in", "direction": "outbound", "durable": True},
    {"name": "plain", "direction": "both"},
]


@pytest.fixture(scope="module")
def gateway(jetstream_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = GatewayProcess(
        tmp_path_factory.mktemp("gateway"), {"nats": {"servers": [jetstream_server.url]}, "channels": CHANNELS}
    )
    yield made
    made.kill()


@pytest.fixture
async def peer(jetstream_server: NatsServer, gateway: GatewayProcess) -> AsyncIterator[Peer]:
    await gateway.ready()
    made = await Peer.connect(jetstream_server.url)
    yield made
    await made.close()


async def said(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return json.loads(await socket.recv())  # type: ignore[no-any-return]


def opened(gateway: GatewayProcess, path: str, **options: Any) -> connect:
    return connect(f"ws://127.0.0.1:{gateway.port}/ws/{path}", proxy=None, **options)


async def events(gateway: GatewayProcess, path: str, count: int, **headers: str) -> tuple[list[SentEvent], str]:
    """The first ``count`` events of a stream, and its last id."""
    parser, found = EventParser(), list[SentEvent]()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        httpx.AsyncClient(trust_env=False, timeout=None) as http,
        http.stream("GET", gateway.url + path, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        async for data in answer.aiter_raw():
            found += parser.feed(data)
            if len(found) >= count and parser.id:
                break
    return found, parser.id


async def test_a_websocket_resumes_where_it_stood(gateway: GatewayProcess, peer: Peer) -> None:
    async with opened(gateway, "orders?envelope=1") as socket:
        joined = await said(socket)
        assert joined["event"] == "joined"
        await peer.store("orders", "a", headers={"Kind": "x", "Secret": "y"})
        first = await said(socket)
        assert (first["text"], first["subject"], first["headers"]) == ("a", "orders", {"Kind": "x"})
        assert first["time"].endswith("Z")
    await peer.store("orders", "b", "c")
    async with opened(gateway, f"orders?envelope=1&after={first['id']}") as socket:
        assert await said(socket) == {"event": "joined", "id": first["id"], "recovered": True}
        assert [(await said(socket))["text"] for _ in range(2)] == ["b", "c"]
        await peer.store("orders", "d")
        assert (await said(socket))["text"] == "d"
    async with opened(gateway, f"orders?after={joined['id']}", subprotocols=[ENVELOPE_PROTOCOL]) as socket:
        assert socket.subprotocol == ENVELOPE_PROTOCOL
        assert (await said(socket))["recovered"] is True
        assert [(await said(socket))["text"] for _ in range(4)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("after", ["1.0123456789-5", "9.new", "nonsense"])
async def test_what_cannot_be_resumed_is_told(gateway: GatewayProcess, peer: Peer, after: str) -> None:
    async with opened(gateway, f"orders?envelope=1&after={after}") as socket:
        assert await said(socket) == {"event": "gap", "channels": ["orders"], "missed": None}
        joined = await said(socket)
        assert (joined["event"], joined["recovered"]) == ("joined", False)
        await peer.store("orders", "next")
        assert (await said(socket))["text"] == "next"


async def test_bare_payloads_of_the_past(gateway: GatewayProcess, peer: Peer) -> None:
    await peer.store("orders", "1", "2", "3")
    async with opened(gateway, "orders?last=2") as socket:
        assert [await socket.recv() for _ in range(2)] == ["2", "3"]
    async with opened(gateway, "orders?since=1h") as socket:
        found = ""
        while found != "3":
            found = str(await socket.recv())
    for query in ("after=1.0123456789-5", "last=x", "last=20000", "since=-1"):
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with opened(gateway, f"orders?{query}") as socket:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007


async def test_an_event_source_resumes(gateway: GatewayProcess, peer: Peer) -> None:
    await peer.store("orders", "x")
    _, id = await events(gateway, "/sse/orders", 0)
    await peer.store("orders", "y", "z\nz")
    found, last = await events(gateway, "/sse/orders", 2, **{"Last-Event-ID": id})
    assert [(event.event, event.data) for event in found] == [("message", "y"), ("message", "z\nz")]
    again, _ = await events(gateway, f"/sse/orders?last_event_id={found[0].id}", 1)
    assert [event.data for event in again] == ["z\nz"]
    assert last == found[-1].id
    told, _ = await events(gateway, "/sse/orders", 1, **{"Last-Event-ID": "1.0123456789-1"})
    assert [(event.event, json.loads(event.data)) for event in told] == [
        ("wsgw:gap", {"channels": ["orders"], "missed": None})
    ]
    enveloped, _ = await events(gateway, "/sse/orders?envelope=1&last=1", 1)
    assert json.loads(enveloped[0].data)["text"] == "z\nz"


async def test_a_page_that_is_loaded_is_not_empty(gateway: GatewayProcess, peer: Peer) -> None:
    await peer.store("page", '{"n": 1}', '{"n": 2}', "{3")
    async with opened(gateway, "page") as socket:
        assert [await socket.recv() for _ in range(2)] == ['{"n": 2}', "{3"]
    async with opened(gateway, "page?envelope=1") as socket:
        assert (await said(socket))["event"] == "joined"
        one, other = await said(socket), await said(socket)
        assert (one["json"], other["text"]) == ({"n": 2}, "{3")


async def test_what_is_no_json_is_counted_once(gateway: GatewayProcess, peer: Peer) -> None:
    async with opened(gateway, "page?envelope=1") as one, opened(gateway, "page?envelope=1") as other:
        listening = asyncio.create_task(events(gateway, "/sse/page?envelope=1", 3))
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="page") == 3, "three are live")
        before = gateway.metric("wsgw_not_json_messages_total", channel="page")
        await peer.store("page", "no JSON")
        for socket in (one, other):
            while (await said(socket)).get("text") != "no JSON":
                pass
        await listening
        assert gateway.metric("wsgw_not_json_messages_total", channel="page") == before + 1
        assert gateway.metric("wsgw_not_json_messages_total", channel="orders") == 0, (
            "that one is not JSON by its nature"
        )


async def test_rooms(gateway: GatewayProcess, peer: Peer) -> None:
    async with opened(gateway, "room.7?envelope=1") as socket:
        joined = await said(socket)
    for number in range(3):
        await peer.store("room.7", f"seven {number}")
        await peer.store("room.8", f"eight {number}")
    async with opened(gateway, f"room.7?envelope=1&after={joined['id']}") as socket:
        assert (await said(socket))["recovered"] is True
        assert [(await said(socket))["text"] for _ in range(3)] == [f"seven {number}" for number in range(3)]
    async with opened(gateway, f"room.*?envelope=1&after={joined['id']}") as socket:
        assert (await said(socket))["recovered"] is True
        assert [(await said(socket))["subject"] for _ in range(6)] == ["room.7", "room.8"] * 3


async def test_a_channel_that_only_takes(gateway: GatewayProcess) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        await gateway.ready()
        answer = await http.post(f"{gateway.url}/publish/in", content=b"x")
        assert (answer.status_code, answer.json()) == (202, {"accepted": True, "seq": 1})


async def test_a_plain_channel_knows_no_past(gateway: GatewayProcess, peer: Peer) -> None:
    async with opened(gateway, "plain?envelope=1&last=5") as socket:
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="plain") == 1, "subscribed")
        await peer.publish("plain", "now")
        found = await said(socket)
        assert (found["text"], "id" in found) == ("now", False)


async def test_no_jetstream(tmp_path: Path, nats_server: NatsServer) -> None:
    configuration = {"nats": {"servers": [nats_server.url]}, "channels": CHANNELS}
    made = GatewayProcess(tmp_path, configuration)
    try:
        await eventually(lambda: "failed" in str(made.readiness()[1]["bridges"].get("orders")), "it says so")
        status, body = made.readiness()
        assert status == 503
        assert "NATS has no JetStream for this account" in body["bridges"]["orders"]
        assert "plain" not in body["bridges"]
    finally:
        made.kill()

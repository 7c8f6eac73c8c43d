"""Channels with ``authorize``, by every surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from helpers.client import Refused
from helpers.client_socketio import SocketIOClient, error_of
from helpers.deciding import Deciding
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import close, text
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.core import permits as permits_module

Connect = Callable[..., Awaitable[SocketIOClient]]


@pytest.fixture
async def deciding(nats: NatsServer) -> AsyncIterator[Deciding]:
    made = Deciding()
    await made.start(nats.url)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits_module, "LEAST_SECONDS", 0.2)
    monkeypatch.setattr(permits_module, "DENIED_SECONDS", 30.0)


@pytest.fixture
async def served(nats: NatsServer, deciding: Deciding) -> AsyncIterator[Running]:
    channels = [
        {"name": "room.*", "direction": "both", "subject": "authorized.room.*", **deciding.option},
        {"name": "IN", "direction": "inbound", "subject": "authorized.in", **deciding.option},
        {"name": "OUT", "direction": "outbound", "subject": "authorized.out", **deciding.option},
        {"name": "SUM", "direction": "request", "subject": "authorized.sum", **deciding.option},
        {"name": "FREE", "direction": "both", "subject": "authorized.free"},
    ]
    async with running(nats.url, channels=channels) as made:
        yield made


@pytest.fixture(params=["websocket", "polling"])
async def connect(served: Running, request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes Socket.IO clients."""
    made: list[SocketIOClient] = []
    gateway = cast(GatewayProcess, SimpleNamespace(url=f"http://127.0.0.1:{served.server.port}"))

    async def client(*channels: str, everything: bool = False) -> SocketIOClient:
        made.append(SocketIOClient())
        await made[-1].join(gateway, None if everything else channels, [request.param])
        return made[-1]

    yield client
    for each in made:
        await each.close()


# -- WebSocket


async def test_websocket_gets_what_it_is_allowed_to(served: Running, deciding: Deciding, peer: Peer) -> None:
    client = await served.websocket("/ws/room.1")
    await peer.publish("authorized.room.1", b"x")
    assert (await client.receive()).data == b"x"
    heard = await peer.listen("authorized.room.*")
    await client.send(text("y"))
    assert (await client.receive()).data == b"y"
    await client.send(close())
    assert await client.receive_close() == (1000, "")
    assert heard == [b"y"]
    assert deciding.verbs() == [("room.1", "subscribe"), ("room.1", "publish")]


async def test_websocket_that_may_do_neither_is_closed_with_the_reason(served: Running, deciding: Deciding) -> None:
    deciding.deny(info="ask the owner")
    for path, verb in (("room.1", "publish to"), ("IN", "subscribe to"), ("OUT", "publish to")):
        client = await served.websocket(f"/ws/{path}")
        reason = f"this client may not {verb} '{path}': ask the owner"
        assert await client.receive_close() == (4503, reason)
    assert served.value("wsgw_rejected_total", reason="forbidden") == 3


async def test_websocket_opens_with_either(served: Running, deciding: Deciding, peer: Peer) -> None:
    heard = await peer.listen("authorized.room.*")
    deciding.deny("subscribe")
    for _ in range(2):  # asked, and known
        client = await served.websocket("/ws/room.1")
        await client.send(text("x"), close())
        assert await client.receive_close() == (1000, "")
    await arrived(heard, 2)
    assert heard == [b"x", b"x"]
    assert deciding.verbs() == [("room.1", "subscribe"), ("room.1", "publish")]
    only = await served.websocket("/ws/room.1?receive=1")
    assert (await only.receive_close())[0] == 4503
    deciding.deny("publish")
    client = await served.websocket("/ws/room.2")
    await peer.publish("authorized.room.2", b"y")
    assert (await client.receive()).data == b"y"
    await client.send(text("x"), text("x"))
    code, reason = await client.receive_close()
    assert (code, reason) == (4503, "accepted 0 of 2: this client may not publish to 'room.2'")


async def test_websocket_is_closed_when_it_may_no_more(served: Running, deciding: Deciding) -> None:
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    client = await served.websocket("/ws/room.1")
    deciding.deny()
    assert (await client.receive_close())[0] == 4503


async def test_websocket_of_a_service_that_does_not_answer_may_come_back(served: Running, deciding: Deciding) -> None:
    deciding.decide = lambda _: b"garbage"
    client = await served.websocket("/ws/room.1")
    assert await client.receive_close() == (1013, "who decides on clients cannot be asked now")


async def test_websocket_that_goes_meanwhile_leaves_nothing(served: Running, deciding: Deciding) -> None:
    deciding.may_answer.clear()
    opening = asyncio.ensure_future(served.websocket("/ws/room.1"))
    await arrived(deciding.asked, 1)
    opening.cancel()
    served.close()
    deciding.may_answer.set()
    await served.idle("websocket")
    assert not served.gateway.permits._watches
    assert not served.gateway.sessions


# -- server-sent events


async def test_sse(served: Running, deciding: Deciding, peer: Peer) -> None:
    deciding.decide = lambda asked: {"allow": asked["channel"] != "room.2", "ttl": 0.1}
    refused = await served.http.get("/sse/room.2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    client = await served.stream("/sse/room.1")
    await peer.publish("authorized.room.1", b"x")
    await client.until_retry()
    assert (await client.next()).data == "x"
    deciding.deny()
    event = await client.next()
    assert event.event == "wsgw:error"
    assert '"forbidden"' in event.data
    several = await served.http.get("/sse?channel=FREE&channel=room.3")
    assert several.status_code == 403


# -- POST


async def test_post(served: Running, deciding: Deciding, peer: Peer) -> None:
    await peer.answer("authorized.sum", lambda payload: payload + b"!")
    assert (await served.http.post("/publish/OUT", content=b"x")).status_code == 202
    reply = await served.http.post("/request/SUM", content=b"x")
    assert (reply.status_code, reply.content) == (200, b"x!")
    deciding.deny(info="no")
    denied = await served.http.post("/publish/room.1", content=b"x")
    assert denied.status_code == 403
    assert denied.json()["error"] == {"code": "forbidden", "message": "this client may not publish to 'room.1': no"}
    assert deciding.verbs() == [("OUT", "publish"), ("SUM", "request"), ("room.1", "publish")]


async def test_post_of_a_service_that_does_not_answer(served: Running, deciding: Deciding) -> None:
    deciding.decide = lambda _: b"garbage"
    for path in ("publish/OUT", "request/SUM"):
        answer = await served.http.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "auth_unavailable")


# -- Socket.IO


async def test_socketio_gets_and_sends_what_it_may(connect: Connect, deciding: Deciding, peer: Peer) -> None:
    deciding.decide = lambda asked: {"allow": asked["channel"] != "room.2", "info": "full"}
    await peer.answer("authorized.sum", lambda payload: payload + b"!")
    client = await connect("room.1")
    await peer.publish("authorized.room.1", b"x")
    await arrived(client.received, 1)
    assert await client.request("SUM", "1") == "1!"
    acks = [await client.emit(name, "a") for name in ("room.1", "room.2", "OUT", "FREE", "room.2")]
    told = [error_of(await ack) for ack in acks]
    assert told == [None, "forbidden", None, None, "forbidden"]
    (answer,) = await (await client.emit("room.2", "a"))
    assert answer == {"error": {"code": "forbidden", "message": "this client may not publish to 'room.2': full"}}


async def test_socketio_is_refused_a_name_that_it_asks_for(connect: Connect, deciding: Deciding) -> None:
    deciding.decide = lambda asked: {"allow": asked["channel"] == "room.1"}
    for _ in range(2):  # asked, and known
        with pytest.raises(Refused) as refused:
            await connect("room.1", "room.2")
        assert refused.value.code == "forbidden"


async def test_socketio_that_asks_for_nothing_gets_what_it_may_have(
    connect: Connect, deciding: Deciding, peer: Peer
) -> None:
    deciding.deny("subscribe")
    for _ in range(2):
        client = await connect(everything=True)
        await peer.publish("authorized.in", b"x")
        await peer.publish("authorized.free", b"y")
        await arrived(client.received, 1)
        assert client.received == [("FREE", "y")]
    assert sorted(set(deciding.verbs())) == [("IN", "subscribe"), ("room.*", "subscribe")]


async def test_socketio_subscribes_later(connect: Connect, deciding: Deciding, peer: Peer) -> None:
    deciding.decide = lambda asked: {"allow": asked["channel"] == "room.1", "ttl": 0.1}
    client = await connect("FREE")
    subscribed = await client.emit("wsgw:subscribe", "room.1")
    refused = await client.emit("wsgw:subscribe", "room.2")
    assert error_of(await subscribed) is None
    assert error_of(await refused) == "forbidden"
    await peer.publish("authorized.room.1", b"x")
    await arrived(client.received, 1)
    deciding.deny(info="not any more")

    def told() -> list[Any]:
        return [event for event in client.events if event[0] == "wsgw:unsubscribed"]

    await eventually(told, "it is told")
    message = "this client may not subscribe to 'room.1': not any more"
    assert told() == [
        ("wsgw:unsubscribed", {"channel": "room.1", "error": {"code": "forbidden", "message": message}}),
    ]
    assert client.connected


async def test_a_stop_ends_what_waits_in_time(nats: NatsServer, deciding: Deciding) -> None:
    channels = [{"name": "OUT", "direction": "outbound", "subject": "authorized.out", **deciding.option}]
    loop = asyncio.get_running_loop()
    async with running(nats.url, channels=channels) as served:
        posting = asyncio.ensure_future(served.http.post("/publish/OUT", content=b"x"))
        deciding.may_answer.clear()
        await arrived(deciding.asked, 1)
        before = loop.time()
    assert loop.time() - before < 3
    answer = await posting
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "unconfirmed")

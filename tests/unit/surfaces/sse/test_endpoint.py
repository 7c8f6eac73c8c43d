"""``/sse``: channels as server-sent events, on our server and under another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from helpers.event_stream import EventParser, SentEvent, payload_of
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.channels.channel import Use
from wsgw.errors import FORBIDDEN, GatewayError
from wsgw.surfaces.sse import endpoint, stream
from wsgw.transports.openstream import open_stream


def error_of(event: SentEvent) -> str:
    assert event.event == "wsgw:error", event
    return str(json.loads(event.data)["error"]["code"])


async def subscribed(served: Running, channel: str, count: int = 1) -> None:
    await eventually(lambda: served.value("wsgw_subscriptions", channel=channel) == count, "subscribed")


async def test_nats_to_client(served: Running, peer: Peer) -> None:
    client = await served.stream("/sse/IN")
    assert client.status == 200
    assert client.head["content-type"] == "text/event-stream; charset=utf-8"
    assert client.head["cache-control"] == "no-store, no-transform"
    assert client.head["x-accel-buffering"] == "no"
    assert client.head["x-content-type-options"] == "nosniff"
    least, most = stream.RETRY_MILLISECONDS
    assert least <= await client.until_retry() <= most
    await subscribed(served, "IN")
    assert served.value("wsgw_connections", transport="sse") == 1
    payloads: list[str | bytes] = ["", "é\n", b"\xff", b"a\rb", "x" * 100_000]
    await peer.publish("IN", *payloads)
    assert [payload_of(await client.next()) for _ in payloads] == payloads
    assert served.value("wsgw_deliveries_total", channel="IN", transport="sse") == 5
    client.close()
    await eventually(lambda: served.value("wsgw_connections", transport="sse") == 0, "gone")
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_closes_total", code="1005") == 1


async def test_several_channels_on_one_stream(served: Running, peer: Peer) -> None:
    client = await served.stream("/sse?channel=IN&channel=chat.1&channel=chat.*&channel=IN")
    await subscribed(served, "chat.*", 2)
    assert served.value("wsgw_subscriptions", channel="IN") == 1
    await peer.publish("IN", "a\nb")
    first = await client.next()
    await peer.publish("rooms.1", b"\xff")
    said = [json.loads(event.data) for event in (first, await client.next(), await client.next())]
    assert all(each.pop("time") for each in said)
    assert said[0] == {"channel": "IN", "subject": "IN", "text": "a\nb"}
    chat = {"subject": "rooms.1", "base64": "/w=="}
    assert sorted(said[1:], key=lambda each: str(each["channel"])) == [
        {"channel": "chat.*", **chat},
        {"channel": "chat.1", **chat},
    ]


async def test_a_keep_alive_connection_becomes_a_stream(served: Running, peer: Peer) -> None:
    client = await served.event_client()
    for _ in range(2):
        await client.ask("/healthz")
        assert await client.answer() == 200
        await client.body()
    await client.ask("/sse/IN", behind="GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await client.answer() == 200
    await subscribed(served, "IN")
    await peer.publish("IN", "x")
    assert (await client.next()).data == "x"
    client.close()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/sse/NOPE", 404, "unknown_channel"),
        ("/sse/", 404, "unknown_channel"),
        ("/sse/chat.%3E", 404, "unknown_channel"),
        ("/sse/OUT", 405, "wrong_direction"),
        ("/sse/SUM", 405, "wrong_direction"),
        ("/sse", 400, "bad_request"),
        ("/sse?channel=IN&channel=NOPE", 404, "unknown_channel"),
        ("/sse?" + "&".join(f"channel=chat.{number}" for number in range(65)), 400, "bad_request"),
        ("/ssex", 404, "not_found"),
    ],
)
async def test_refusals_for_good_are_statuses(served: Running, path: str, status: int, code: str) -> None:
    answer = await served.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert served.value("wsgw_rejected_total", reason=code) == 1
    assert ("allow" in answer.headers) == (status == 405)
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_connections", transport="sse") == 0


def told(answer: httpx.Response) -> str:
    """The error that an answer tells a client which is to come back."""
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    parser = EventParser()
    (event,) = parser.feed(answer.content)
    assert parser.retry is not None
    return error_of(event)


async def test_a_refusal_that_passes_is_an_event(nats: NatsServer) -> None:
    channels = [{"name": "few.*", "direction": "both"}]
    async with running(nats.url, channels=channels, max_subjects=1) as served:
        client = await served.stream("/sse/few.1")
        await client.until_retry()
        assert told(await served.http.get("/sse/few.2")) == "too_many_subjects"
        assert served.value("wsgw_rejected_total", reason="too_many_subjects") == 1
        head = await served.http.head("/sse/few.2")
        assert (head.status_code, head.content) == (200, b"")


async def test_no_memory(direct: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(direct.gateway.edge.memory), "full", True)
    assert told(await direct.http.get("/sse/IN")) == "no_memory"
    assert direct.value("wsgw_rejected_total", reason="no_memory") == 1


async def test_head_is_only_the_head(served: Running) -> None:
    client = await served.event_client()
    for _ in range(2):  # and the connection lives on
        await client.ask("/sse/chat.1", method="HEAD")
        assert await client.answer() == 200
        assert client.head["content-type"] == "text/event-stream; charset=utf-8"
    await client.ask("/healthz")
    assert await client.answer() == 200
    assert served.value("wsgw_connections", transport="sse") == 0
    assert served.value("wsgw_subscriptions", channel="chat.*") == 0
    client.close()


async def test_other_methods(served: Running) -> None:
    answer = await served.http.post("/sse/IN", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_http_1_0(served: Running, peer: Peer) -> None:
    client = await served.event_client()
    await client.ask("/sse/IN", version="1.0")
    assert await client.answer() == 200
    assert client.head["connection"] == "close"
    if served.server.direct:  # uvicorn sends chunks whoever asks
        assert "transfer-encoding" not in client.head
    await subscribed(served, "IN")
    await peer.publish("IN", "a", "b")
    assert [(await client.next()).data for _ in range(2)] == ["a", "b"]
    draining = asyncio.get_running_loop().create_task(served.gateway.drain.run())
    assert await client.end() == ("eof" if served.server.direct else "chunks")
    await draining


async def test_drain(served: Running, peer: Peer) -> None:
    client = await served.stream("/sse/IN")
    await client.until_retry()
    await subscribed(served, "IN")
    await peer.publish("IN", "last")
    assert (await client.next()).data == "last"
    client.parser.retry = None
    draining = asyncio.get_running_loop().create_task(served.gateway.drain.run())
    assert await client.end() == "chunks"
    assert client.parser.retry is not None
    assert client.events == []
    await draining
    assert served.value("wsgw_closes_total", code="1001") == 1
    assert served.value("wsgw_connections", transport="sse") == 0
    assert told(await served.http.get("/sse/IN")) == "draining"
    assert served.value("wsgw_rejected_total", reason="draining") == 1


async def test_a_drain_writes_what_waits(direct: Running, peer: Peer) -> None:
    client = await direct.stream("/sse/IN", receive_buffer_bytes=4096)
    await subscribed(direct, "IN")
    payloads = [f"{number:06}" + "x" * 100_000 for number in range(60)]
    await peer.publish("IN", *payloads)
    await eventually(lambda: direct.value("wsgw_outbox_messages") > 0, "some wait")
    await eventually(lambda: direct.value("wsgw_nats_messages_total", channel="IN") == 60, "all are here")
    draining = asyncio.get_running_loop().create_task(direct.gateway.drain.run())
    assert [(await client.next()).data[:6] for _ in payloads] == [payload[:6] for payload in payloads]
    assert await client.end() == "chunks"
    await draining


async def test_a_drain_does_not_wait_for_ever(direct: Running, peer: Peer) -> None:
    client = await direct.stream("/sse/IN", receive_buffer_bytes=4096)
    await subscribed(direct, "IN")
    await peer.publish("IN", *["x" * 100_000] * 60)
    await eventually(lambda: direct.value("wsgw_outbox_messages") > 0, "it takes nothing")
    async with asyncio.timeout(10):
        await direct.gateway.drain.run()
    await eventually(lambda: direct.value("wsgw_connections", transport="sse") == 0, "gone")
    client.close()


async def test_a_stop_while_a_stream_is_opened(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds no client that it could drain."""
    stops: list[asyncio.Task[None]] = []

    async def opening(*arguments: Any) -> Any:
        stops.append(asyncio.get_running_loop().create_task(served.gateway.drain.run()))
        await eventually(lambda: served.gateway.drain.begun, "the stop begins")
        return await open_stream(*arguments)

    monkeypatch.setattr(endpoint, "open_stream", opening)
    client = await served.stream("/sse/IN")
    assert await client.end() == "chunks"
    await asyncio.gather(*stops)


async def test_a_stalled_client_beside_a_healthy_one(served: Running, peer: Peer) -> None:
    stalled = await served.stream("/sse/IN", receive_buffer_bytes=4096)
    healthy = await served.stream("/sse/IN")
    await subscribed(served, "IN", 2)
    payload = "x" * 100_000
    for number in range(200):
        await peer.publish("IN", f"{number:06}{payload}")
        assert (await healthy.next()).data[:6] == f"{number:06}"
    assert served.value("wsgw_dropped_messages_total", channel="IN", policy="drop_oldest") > 50
    limit = served.gateway.channels.find("IN", Use.SUBSCRIBE).outbox_bytes
    assert served.value("wsgw_outbox_bytes") <= limit + 100_100
    stalled.close()
    await eventually(lambda: served.value("wsgw_outbox_messages") == 0, "its outbox is forgotten")


async def test_a_client_that_is_ended_for_want_of_memory(nats: NatsServer, peer: Peer) -> None:
    channels = [{"name": "IN", "direction": "inbound", "outbox": {"messages": 1000, "bytes": "64 MiB"}}]
    async with running(nats.url, channels=channels, limits={"memory": "4 MiB"}) as served:
        client = await served.stream("/sse/IN", receive_buffer_bytes=4096)
        await subscribed(served, "IN")
        await peer.publish("IN", *["x" * 100_000] * 100)
        await eventually(lambda: served.value("wsgw_nats_messages_total", channel="IN") == 100, "all are here")
        await eventually(lambda: served.value("wsgw_outbox_messages") == 0, "its outbox is given up")
        while (event := await client.next()).event == "message":
            pass
        assert error_of(event) == "slow_consumer"
        assert await client.end() == "chunks"
        await eventually(lambda: served.value("wsgw_closes_total", code="4008") == 1, "counted")


async def test_a_denied_subject(start_server: Callable[..., NatsServer]) -> None:
    rule = '{subscribe: {deny: ["rooms.1"]}}'
    server = start_server(f"authorization {{users = [{{user: u, password: p, permissions: {rule}}}]}}")
    async with running(server.url.replace("//", "//u:p@")) as served:
        answer = await served.http.get("/sse/chat.1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert served.value("wsgw_subscriptions", channel="chat.*") == 0


async def test_a_refusal_that_comes_later_ends_the_stream(direct: Running, opened: list[stream.EventStream]) -> None:
    client = await direct.stream("/sse/IN")
    opened.pop().refused("IN", GatewayError(FORBIDDEN, "not any more"))
    assert error_of(await client.next()) == "forbidden"
    assert await client.end() == "chunks"
    await eventually(lambda: direct.value("wsgw_closes_total", code="4503") == 1, "counted")


async def test_without_nats(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    server.stop()
    async with running(server.url, ready=False) as served:
        client = await served.stream("/sse?channel=IN&channel=chat.1")
        await client.until_retry()
        server.start()
        await eventually(lambda: served.gateway.readiness().ready, "ready")
        peer = await Peer.connect(server.url)
        await peer.publish("IN", b"x")
        told = await client.next()
        assert (told.event, json.loads(told.data)) == ("wsgw:gap", {"channels": ["IN", "chat.1"], "missed": None})
        assert json.loads((await client.next()).data)["text"] == "x"
        await peer.close()


async def test_the_client_goes_while_its_subscription_is_made(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    async with running(server.url) as served:
        server.freeze()
        client = await served.event_client()
        await client.ask("/sse/chat.1")
        bridge: Any = served.gateway.bridges._bridges["chat.*"]
        await eventually(lambda: bridge._interests, "it joins")
        client.close()
        await eventually(lambda: not served.server.uvicorn.server_state.connections, "the connection has ended")
        server.thaw()
        await eventually(lambda: not bridge._interests["chat.1"].sessions, "it has left")
        assert served.value("wsgw_connections", transport="sse") == 0
        assert served.value("wsgw_subscriptions", channel="chat.*") == 0

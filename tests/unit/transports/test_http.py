"""``POST /publish`` and ``/request``, and what operators ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw import __version__


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


@pytest.mark.parametrize("payload", [b"", b"\xff\0", "é".encode(), b'{"a": 1}', b"x" * 1024 * 1024])
async def test_publish(served: Running, peer: Peer, payload: bytes) -> None:
    got = await peer.listen("OUT")
    answer = await served.http.post("/publish/OUT", content=payload)
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    await arrived(got, 1)
    assert got == [payload]
    assert served.value("wsgw_published_messages_total", channel="OUT", transport="http") == 1


async def test_publish_to_a_pattern(served: Running, peer: Peer) -> None:
    got = await peer.listen("rooms.5")
    assert (await served.http.post("/publish/chat.5", content=b"x")).status_code == 202
    await arrived(got, 1)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/publish/NOPE", 404, "unknown_channel"),
        ("/publish/a/b", 404, "unknown_channel"),
        ("/publish/chat.*", 404, "unknown_channel"),
        ("/publish/chat.a%20b", 404, "unknown_channel"),
        ("/publish/IN", 405, "wrong_direction"),
        ("/publish/SUM", 405, "wrong_direction"),
        ("/request/OUT", 405, "wrong_direction"),
        ("/request/NOPE", 404, "unknown_channel"),
        ("/request/SUM", 503, "no_responders"),
    ],
)
async def test_refusals(served: Running, path: str, status: int, code: str) -> None:
    answer = await served.http.post(path, content=b"x")
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert served.value("wsgw_rejected_total", reason=code) == 1


@pytest.mark.parametrize("path", ["/publish/OUT", "/request/SUM"])
async def test_too_large_is_told_before_all_of_it_came(served: Running, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield bytes(64 * 1024)

    answer = await served.http.post(path, content=endless())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_request(served: Running, peer: Peer) -> None:
    await peer.answer("math.sum", lambda payload: payload[::-1])
    answer = await served.http.post("/request/SUM", content="éa")
    assert answer.status_code == 200
    assert answer.content == "éa".encode()[::-1]
    assert answer.headers["content-type"] == "application/octet-stream"
    answer = await served.http.post("/request/SUM", content="ab")
    assert (answer.content, answer.headers["content-type"]) == (b"ba", "text/plain; charset=utf-8")
    assert served.value("wsgw_request_seconds_count", channel="SUM") == 2


async def test_request_without_a_reply(served: Running, peer: Peer) -> None:
    await peer.listen("math.sum")
    answer = await served.http.post("/request/SUM", content="x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")


async def test_lost_before_the_proof(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    async with running(server.url) as served:
        server.freeze()
        asking = asyncio.get_running_loop().create_task(served.http.post("/publish/OUT", content=b"x"))
        await eventually(lambda: served.value("wsgw_publishes_in_flight") == 1, "in flight")
        server.stop()
        answer = await asking
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "unconfirmed")
        answer = await served.http.post("/publish/OUT", content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "nats_unavailable")
        ready = await served.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["nats"] == "not connected"
        assert (await served.http.get("/healthz")).status_code == 200


async def test_draining(served: Running) -> None:
    await served.gateway.drain(1)
    for path in ("/publish/OUT", "/request/SUM"):
        answer = await served.http.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.json()["draining"]) == (503, True)


async def test_operators(served: Running) -> None:
    answer = await served.http.get("/healthz")
    assert answer.json() == {"status": "ok", "version": __version__}
    ready = await served.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "nats": "connected", "bridges": {}, "draining": False}
    metrics = await served.http.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {sample.name for family in text_string_to_metric_families(metrics.text) for sample in family.samples}
    assert {"wsgw_nats_connected", "wsgw_deliveries_total", "wsgw_build_info"} <= samples


async def test_readiness_names_a_refused_channel(start_server: Callable[..., NatsServer]) -> None:
    server = start_server('authorization {users = [{user: u, password: p, permissions: {subscribe: {deny: ["IN"]}}}]}')
    async with running(server.url.replace("//", "//u:p@"), ready=False) as served:
        await eventually(lambda: "failed" in served.gateway.readiness().bridges.get("IN", ""), "failed")
        ready = await served.http.get("/readyz")
        assert ready.status_code == 503
        assert "IN" in ready.json()["bridges"]["IN"]


async def test_methods(served: Running) -> None:
    assert (await served.http.get("/publish/OUT")).status_code == 405
    assert (await served.http.post("/healthz")).status_code == 405
    assert (await served.http.get("/ws/IN")).status_code in (404, 426)
    assert (await served.http.get("/nothing")).status_code == 404

"""``POST /publish`` and ``/request``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_http import RawPost
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.transports import connection as http_connection


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
    families = text_string_to_metric_families(served.gateway.metrics.exposition().decode())
    errors = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "wsgw_publish_errors_total" and sample.labels["reason"] == code
    ]
    assert sum(errors) == 1
    assert served.value("wsgw_rejected_total", reason=code) == 0  # each refusal counts once
    assert answer.headers.get("allow") == ("OPTIONS" if status == 405 else None)


@pytest.mark.parametrize("path", ["/publish/OUT", "/request/SUM"])
async def test_too_large_is_told_before_all_of_it_came(served: Running, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield bytes(64 * 1024)

    answer = await served.http.post(path, content=endless())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def begin(served: Running, length: int | None) -> RawPost:
    return await RawPost.begin(served.server.port, "/publish/OUT", length, "Connection: close")


async def test_too_large_is_told_to_a_client_that_sends_all_of_it_first(served: Running) -> None:
    post = await begin(served, 20_000_000)
    await post.pour(20_000_000)  # an answer that is there already is not looked at
    assert await post.status() == 413
    assert b'"too_large"' in await post.rest()
    post.close()
    assert served.value("wsgw_rejected_total", reason="too_large") == 1


async def test_too_large_is_told_before_any_of_it_came(served: Running) -> None:
    post = await begin(served, 10**12)
    assert await post.status() == 413
    post.close()


async def test_not_all_of_a_refused_body_is_read(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "LINGER_BYTES", 1_000_000)
    post = await begin(served, 10**12)
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await post.pour(1_000_000)
        pytest.fail("all of it is read")
    post.close()


async def test_draining_is_told_to_a_client_that_sends_all_of_it_first(served: Running) -> None:
    served.gateway.drain.begin()
    post = await begin(served, 20_000_000)
    await post.pour(20_000_000)
    assert await post.status() == 503
    post.close()


async def test_a_length_that_is_no_number(served: Running) -> None:
    """HTTP servers refuse it; what holds the application may not."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=served.app), base_url="http://x")
    async with client:
        for length in ("abc", "", "9" * 5000):
            answer = await client.post("/publish/OUT", content=b"x", headers={"Content-Length": length})
            assert answer.status_code == 202


async def test_a_client_that_leaves_before_its_body_is_complete(
    served: Running, caplog: pytest.LogCaptureFixture
) -> None:
    post = await begin(served, 10)
    await post.send(b"abc")
    post.close()
    await eventually(lambda: not served.server.uvicorn.server_state.tasks, "the client is gone")
    assert served.value("wsgw_rejected_total", reason="bad_request") == 0
    assert (await served.http.get("/healthz")).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert served.value("wsgw_published_messages_total", channel="OUT", transport="http") == 0


async def test_a_request_ends_with_its_client(served: Running, peer: Peer) -> None:
    """Else one client could take all that may wait."""
    asked = await peer.listen("math.sum")
    post = await RawPost.begin(served.server.port, "/request/SUM", 100_000)
    await post.send(bytes(100_000))
    await arrived(asked, 1)
    broker = served.gateway.broker
    connection = broker._connection
    assert connection is not None
    assert (broker._requests, broker._request_bytes, len(connection._requests)) == (1, 100_000, 1)
    post.close()
    await eventually(lambda: broker._requests == 0, "it is not waited for")
    assert (broker._request_bytes, len(connection._requests)) == (0, 0)
    assert served.value("wsgw_publish_errors_total", channel="SUM", reason="timeout") == 0
    assert (await served.http.post("/request/SUM", content=b"x")).status_code == 504, "others may ask"


async def test_a_connection_asks_one_request_at_a_time(served: Running, peer: Peer) -> None:
    """However many are pipelined: so a client has no more of them than connections."""
    asked = await peer.messages("math.sum")
    post = await RawPost.begin(served.server.port, "/request/SUM", 1)
    await post.send(
        b"0" + b"".join(b"POST /request/SUM HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % n for n in (1, 2))
    )
    for number in range(3):
        await arrived(asked, number + 1)
        assert served.gateway.broker._requests == 1
        await peer.nats.publish(asked[number].reply, b"!")
        assert await post.status() == 200
        while (await post.reader.readline()).strip():
            pass
        assert await post.reader.readexactly(1) == b"!"
    assert [message.data for message in asked] == [b"0", b"1", b"2"]
    post.close()


@pytest.mark.parametrize("way", ["gone", "too large", "draining", "refused", "dropped"])
async def test_what_ended_is_freed_without_the_collector(served: Running, way: str) -> None:
    def alive() -> int:
        ours = [one for one in gc.get_objects() if f"{type(one).__module__}".startswith(("wsgw.", "starlette."))]
        return sum(type(one).__name__ in ("HttpProtocol", "Exchange", "Request", "Session") for one in ours)

    await served.http.aclose()
    await eventually(lambda: not served.server.uvicorn.server_state.connections, "alone")
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(1 if way == "draining" else 3):
            post = await RawPost.begin(served.server.port, "/publish/OUT", None, "Connection: close")
            await post.send(b"3\r\nabc\r\n")
            await eventually(lambda: served.server.uvicorn.server_state.tasks, "asked")
            if way == "draining":
                served.gateway.drain.begin()
                served.gateway.drain.give_up()
            elif way == "too large":
                await post.send(b"200000\r\n" + bytes(0x200000) + b"\r\n")
            elif way == "refused":
                await post.send(b"x\r\n")
            elif way == "dropped":
                (body,) = served.gateway.edge.memory._holders
                body.evict()
                del body
            if way != "gone":
                with contextlib.suppress(ConnectionError):
                    await post.rest()
            post.close()
            await eventually(lambda: not served.server.uvicorn.server_state.connections, "gone")
        await eventually(lambda: not served.server.uvicorn.server_state.tasks, "ended")
        del post
        await eventually(lambda: alive() <= before, "freed")
    finally:
        gc.enable()


async def test_a_client_whose_body_is_dropped_is_told_though_it_sends_nothing_more(served: Running) -> None:
    post = await begin(served, 10)
    await post.send(b"abc")
    memory = served.gateway.edge.memory
    await eventually(lambda: memory._holders, "its body counts")
    (body,) = memory._holders
    body.evict()
    assert await post.status() == 503
    assert b'"no_memory"' in await asyncio.wait_for(post.rest(), 3)
    post.close()
    assert served.value("wsgw_rejected_total", reason="no_memory") == 1


async def test_a_stop_does_not_wait_for_a_body(served: Running) -> None:
    post = await begin(served, 10)
    await post.send(b"abc")
    assert (await served.http.get("/healthz")).status_code == 200  # asked later: the POST has begun
    served.gateway.drain.give_up()
    assert await post.status() == 504
    post.close()


async def test_a_stop_does_not_wait_for_the_rest_of_a_refused_body(served: Running) -> None:
    post = await begin(served, 10**12)
    assert await post.status() == 413
    served.gateway.drain.give_up()
    assert b'"too_large"' in await asyncio.wait_for(post.rest(), 3)
    post.close()


async def test_request(served: Running, peer: Peer) -> None:
    await peer.answer("math.sum", lambda payload: payload[::-1])
    answer = await served.http.post("/request/SUM", content="éa")
    assert answer.status_code == 200
    assert answer.content == "éa".encode()[::-1]
    assert answer.headers["content-type"] == "application/octet-stream"
    answer = await served.http.post("/request/SUM", content="ab")
    assert (answer.content, answer.headers["content-type"]) == (b"ba", "text/plain; charset=utf-8")
    assert served.value("wsgw_request_seconds_count", channel="SUM") == 2


async def test_exact_beats_pattern(nats: NatsServer, peer: Peer) -> None:
    channels = [{"name": "svc.*", "direction": "request"}, {"name": "svc.a", "direction": "outbound"}]
    await peer.answer("svc.b", lambda payload: payload * 2)
    heard = await peer.listen("svc.a")
    async with running(nats.url, channels=channels) as served:
        for path, status, code in (
            ("/request/svc.a", 405, "wrong_direction"),
            ("/publish/svc.b", 405, "wrong_direction"),
            ("/request/svc.*", 404, "unknown_channel"),
        ):
            answer = await served.http.post(path, content=b"x")
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert (await served.http.post("/publish/svc.a", content=b"y")).status_code == 202
        assert (await served.http.post("/request/svc.b", content=b"z")).content == b"zz"
        await arrived(heard, 1)
        assert heard == [b"y"]


async def test_request_without_a_reply(served: Running, peer: Peer) -> None:
    await peer.listen("math.sum")
    answer = await served.http.post("/request/SUM", content="x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        (
            {"Nats-Service-Error": "no such order", "Nats-Service-Error-Code": "404"},
            404,
            {"code": "service_error", "message": "no such order", "service_code": "404"},
        ),
        (
            {"Nats-Service-Error": "it broke", "Nats-Service-Error-Code": "E7"},
            502,
            {"code": "service_error", "message": "it broke", "service_code": "E7"},
        ),
        ({"Nats-Service-Error": "a\x1b\x00b"}, 502, {"code": "service_error", "message": "a\\x1b\\x00b"}),
    ],
)
async def test_an_error_of_the_responder(
    served: Running, peer: Peer, headers: dict[str, str], status: int, error: dict[str, str]
) -> None:
    await peer.answer_with("math.sum", b"not for clients", headers)
    answer = await served.http.post("/request/SUM", content="x")
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert "allow" not in answer.headers
    assert served.value("wsgw_publish_errors_total", channel="SUM", reason="service_error") == 1
    assert served.value("wsgw_rejected_total", reason="service_error") == 0


async def test_an_error_of_the_responder_with_headers(nats: NatsServer, peer: Peer) -> None:
    channels = [{"name": "get", "direction": "request", "headers": ["Retry-After", "Content-Type"]}]
    headers = {"Nats-Service-Error-Code": "405", "Retry-After": "5", "Content-Type": "text/html"}
    await peer.answer_with("get", b"<html>", headers)
    async with running(nats.url, channels=channels) as served:
        answer = await served.http.post("/request/get", content="x")
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS")
        assert answer.headers["retry-after"] == "5"
        assert answer.headers.get_list("content-type") == ["application/json"]
        assert answer.headers["access-control-expose-headers"] == "retry-after, content-type"
        assert answer.json()["error"]["service_code"] == "405"


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
    await served.gateway.drain.run()
    for path in ("/publish/OUT", "/request/SUM"):
        answer = await served.http.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.json()["draining"]) == (503, True)

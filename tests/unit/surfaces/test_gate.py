"""Where requests come from, on every surface, on our server and under another one: who is let in, and what is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_http import RawPost
from helpers.raw_websocket import RawWebSocket, text
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.access.pages import SAFE, Pages
from wsgw.surfaces.gate import METHODS, OPEN_PATHS
from wsgw.surfaces.ops import PATHS

POLLING = "/socket.io/?EIO=4&transport=polling"
SOCKETIO = "/socket.io/?EIO=4&transport=websocket"
PAGE = "http://page.example:5173"
EVIL = "http://evil.example"
#: What may be asked over HTTP, and what it is answered with where it may.
REQUESTS = [
    ("POST", "/publish/OUT", 202),
    ("POST", "/publish/IN", 405),
    ("POST", "/publish/NOPE", 404),
    ("PUT", "/publish/OUT", 405),
    ("POST", "/request/SUM", 503),
    ("GET", "/sse/IN", 200),
    ("HEAD", "/sse/IN", 200),
    ("GET", "/sse?channel=IN&channel=chat.1", 200),
    ("GET", "/sse/NOPE", 404),
    ("POST", "/sse/IN", 405),
    ("GET", POLLING, 200),
    ("GET", "/socket.io", 400),
    ("POST", f"{POLLING}&sid=none", 400),
    ("PUT", POLLING, 400),
    ("GET", "/nothing", 404),
    ("GET", "/ws/BOTH", 404),
    ("OPTIONS", "/publish/OUT", 204),
    ("OPTIONS", "/request/NOPE", 204),
    ("OPTIONS", "/sse/IN", 204),
    ("OPTIONS", "/sse", 204),
    ("OPTIONS", "/socket.io/", 204),
    ("OPTIONS", "/nothing", 404),
]
WEBSOCKETS = ["/ws/BOTH", "/ws/NOPE", "/nothing", SOCKETIO, f"{SOCKETIO}&sid=none"]
WAYS = pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])


@asynccontextmanager
async def answer_to(served: Running, method: str, path: str, **headers: str) -> AsyncIterator[httpx.Response]:
    """A stream is not read."""
    async with served.http.stream(method, path, headers=headers, content=b"x" if method == "POST" else None) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            await answer.aread()
        yield answer


def cors_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def own(served: Running) -> str:
    return f"http://127.0.0.1:{served.server.port}"


async def shake_hands(served: Running, path: str, **headers: str) -> RawWebSocket:
    client = RawWebSocket(served.server.port, path)
    served._clients.append(client)
    await client.connect(headers=headers)
    await client.shake_hands()
    return client


def status_of(client: RawWebSocket) -> int:
    assert client.response is not None
    return client.response.status_code


# -- what browsers are told of every answer

_SAFE = {name.decode(): value.decode() for name, value in SAFE}


def safe(answer: httpx.Response) -> bool:
    """Each of them once, and nobody keeps it."""
    told = {name: answer.headers.get_list(name) for name in _SAFE}
    return told == {name: [value] for name, value in _SAFE.items()} and "no-store" in answer.headers["cache-control"]


@WAYS
async def test_no_answer_is_a_page(nats: NatsServer, direct: bool) -> None:
    """Also where what is asked for is markup: it is not taken for what it is not, and runs and loads nothing."""
    async with running(nats.url, direct=direct) as served:
        for origin in (own(served), EVIL):
            for method, path, _ in [*REQUESTS, *(("GET", each, 200) for each in sorted(PATHS)), ("GET", "/<b>", 404)]:
                async with answer_to(served, method, path, Origin=origin) as answer:
                    if answer.status_code == 204:  # a preflight's, which nobody sees
                        continue
                    assert safe(answer), (method, path, answer.status_code, answer.headers)
        assert "default-src 'none'" in _SAFE["content-security-policy"]
        assert "frame-ancestors 'none'" in _SAFE["content-security-policy"]
        assert _SAFE["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "request_", [b"nonsense\r\n\r\n", b"GET /%b HTTP/1.1\r\n\r\n" % bytes(70_000), b"GET /\x00 HTTP/1.1\r\n\r\n"]
)
async def test_nor_is_one_to_what_is_no_request(nats: NatsServer, request_: bytes) -> None:
    async with running(nats.url) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(request_)
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        for name, value in [*SAFE, (b"cache-control", b"no-store")]:
            assert head.count(b"\r\n%b: %b" % (name, value)) == 1, head


# -- who is refused


@WAYS
async def test_pages_of_others_are_refused_by_default(nats: NatsServer, peer: Peer, direct: bool) -> None:
    got = await peer.listen(">")
    async with running(nats.url, direct=direct) as served:
        for count, (method, path, _) in enumerate(REQUESTS, 1):
            async with answer_to(served, method, path, Origin=EVIL) as answer:
                assert answer.status_code == 403, (method, path)
                assert cors_of(answer) == {}
                assert answer.headers["vary"] == "origin", "no cache has it for another page"
                if method != "HEAD":
                    message = f"origin {EVIL} is not in 'origins'"
                    assert answer.json() == {"error": {"code": "forbidden", "message": message}}
            assert served.value("wsgw_rejected_total", reason="forbidden") == count
        assert (await served.http.get("/metrics", headers={"Origin": EVIL})).status_code == 403
        assert (await served.http.get("/metrics", headers={"Origin": "null"})).status_code == 403
        for transport in ("http", "sse", "socketio"):
            assert served.value("wsgw_connections", transport=transport) == 0
        assert served.value("wsgw_published_messages_total", channel="OUT", transport="http") == 0
        await served.http.post("/publish/OUT", content=b"the last")
        await eventually(lambda: b"the last" in got, "published")
        assert b"x" not in got


@WAYS
@pytest.mark.parametrize("path", WEBSOCKETS)
async def test_a_websocket_of_others_is_accepted_and_closed(
    nats: NatsServer, caplog: pytest.LogCaptureFixture, direct: bool, path: str
) -> None:
    caplog.set_level(logging.WARNING)
    reason = "origin http://localhost:5173 is not in 'origins'"
    async with running(nats.url, direct=direct) as served:
        client = await shake_hands(served, path, Origin="http://localhost:5173")
        assert status_of(client) == 101
        if path.startswith("/socket.io"):
            opening = await client.receive()
            assert bytes(opening.data).startswith(b'0{"sid":')
            assert await client.receive() == text(f'44{{"message":"{reason}"}}')
        assert await client.receive_close() == (4503, reason)
        await client.send(text("x"))  # which nobody listens to
        assert served.value("wsgw_rejected_total", reason="forbidden") == 1
        client.close()
        await eventually(lambda: not served.server.uvicorn.server_state.connections, "it is gone")
        for transport in ("websocket", "socketio"):
            assert served.value("wsgw_connections", transport=transport) == 0
    assert [each for each in caplog.messages if reason in each] == [
        f"refused: {reason}: where pages of it are to use the gateway, "
        "add it to 'origins' in the configuration, and restart"
    ]


# -- names


@WAYS
async def test_rebound_names_are_refused_on_loopback(
    nats: NatsServer, caplog: pytest.LogCaptureFixture, direct: bool
) -> None:
    async with running(nats.url, direct=direct) as served:
        host = f"evil.example:{served.server.port}"
        headers = {"Host": host, "Origin": f"http://{host}"}  # as a browser has it: the page's own
        why = {"code": "forbidden", "message": f"host {host} is not in 'hosts'"}
        for method, path, _ in [*REQUESTS, ("GET", "/metrics", 200)]:
            for sent in (headers, {"Host": host}):
                async with answer_to(served, method, path, **sent) as answer:
                    assert answer.status_code == 403, (method, path)
                    assert cors_of(answer) == {}
                    assert method == "HEAD" or answer.json() == {"error": why}
        for path in WEBSOCKETS:
            client = await shake_hands(served, path, **headers)
            assert status_of(client) == 403, "no name of somebody else's gets a WebSocket"
            assert client.response is not None
            assert json.loads(client.response.body or b"") == {"error": why}
        for path in OPEN_PATHS:
            assert (await served.http.get(path, headers=headers)).status_code == 200
            assert (await served.http.get(path, headers={"Origin": "null"})).status_code == 200
        for good in ("localhost", f"127.0.0.1:{served.server.port}", "[::1]", "gateway:1"):
            assert (await served.http.get("/metrics", headers={"Host": good})).status_code == 200
    assert len([each for each in caplog.messages if "'hosts'" in each]) == 1


@WAYS
async def test_names_that_are_given(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, listen="0.0.0.0:0", hosts=["rt.example"]) as served:
        assert (await served.http.get("/metrics", headers={"Host": "rt.example"})).status_code == 200
        assert (await served.http.get("/metrics", headers={"Host": "evil.example"})).status_code == 403
        client = await shake_hands(served, "/ws/BOTH", Host="rt.example", Origin="https://rt.example")
        assert status_of(client) == 101
        await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
    async with running(nats.url, direct=direct, listen="0.0.0.0:0") as served:
        assert (await served.http.get("/metrics", headers={"Host": "evil.example"})).status_code == 200


# -- who is let in, and what is told


@WAYS
@pytest.mark.parametrize(
    ("origins", "origin", "told"),
    [
        ("same", None, None),
        ("same", "own", "own"),
        ("any", None, "*"),
        ("any", PAGE, "*"),
        ("any", "null", "*"),
        ([PAGE], PAGE, PAGE),
        (["http://*.example:5173"], PAGE, PAGE),
        ([PAGE], None, None),
        (["same", PAGE], "own", "own"),
    ],
)
async def test_each_answer_tells_who_may_read_it(
    nats: NatsServer, direct: bool, origins: Any, origin: str | None, told: str | None
) -> None:
    async with running(nats.url, direct=direct, origins=origins) as served:
        names = {"own": own(served)}
        headers = {} if origin is None else {"Origin": names.get(origin, origin)}
        allowed = {} if told is None else {"access-control-allow-origin": names.get(told, told)}
        for method, path, status in REQUESTS:
            async with answer_to(served, method, path, **headers) as answer:
                assert answer.status_code == status, (method, path)
                found = cors_of(answer)
                if status == 204:
                    assert found.pop("access-control-max-age") == "600"
                    assert found.pop("access-control-allow-methods").split(",") == answer.headers["allow"].replace(
                        ", OPTIONS", ""
                    ).replace("OPTIONS, ", "").split(", ")
                    assert "authorization" in found.pop("access-control-allow-headers").split(",")
                assert found == allowed, (method, path)
                assert answer.headers.get_list("vary") == ([] if origins == "any" else ["origin"])
        assert cors_of(await served.http.get("/metrics", headers=headers)) == {}
        for path in ("/ws/BOTH", SOCKETIO):
            client = await shake_hands(served, path, **headers)
            assert status_of(client) == 101
        assert served.value("wsgw_rejected_total", reason="forbidden") == 0


@WAYS
async def test_with_cookies(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, origins=[PAGE]) as served:
        served.gateway.edge.pages = Pages([PAGE], credentials=True)
        for method, path, status in REQUESTS:
            async with answer_to(served, method, path, Origin=PAGE) as answer:
                assert answer.status_code == status
                assert answer.headers["access-control-allow-origin"] == PAGE
                assert answer.headers["access-control-allow-credentials"] == "true"
            async with answer_to(served, method, path, Origin=EVIL) as answer:
                assert cors_of(answer) == {}


@WAYS
async def test_a_preflight_asks_for_what_is_to_be_sent(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, origins=[PAGE]) as served:
        asked = {"Origin": PAGE, "Access-Control-Request-Headers": "authorization,x-token"}
        for first, methods in METHODS.items():
            answer = await served.http.options(f"/{first}/OUT", headers=asked)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["access-control-allow-headers"] == "authorization,x-token"
            assert answer.headers["access-control-allow-methods"] == methods.replace(" ", "")
            assert answer.headers["allow"].split(", ") == sorted([*methods.split(", "), "OPTIONS"])


@WAYS
async def test_pages_read_what_replies_expose(nats: NatsServer, peer: Peer, direct: bool) -> None:
    await peer.answer_with("math.sum", b"3", {"X-Kind": "int", "Access-Control-Allow-Origin": "*"})
    channels = [{"name": "SUM", "direction": "request", "subject": "math.sum", "headers": ["X-Kind"]}]
    async with running(nats.url, direct=direct, origins=[PAGE], channels=channels) as served:
        answer = await served.http.post("/request/SUM", content=b"x", headers={"Origin": PAGE})
        assert answer.text == "3"
        assert cors_of(answer) == {
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": "x-kind",
        }


@WAYS
@pytest.mark.parametrize(("method", "path"), [("POST", "/publish/OUT"), ("GET", "/sse/IN"), ("GET", POLLING)])
async def test_pages_read_of_faults(
    nats: NatsServer, direct: bool, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("on purpose")

    async with running(nats.url, direct=direct, origins=[PAGE]) as served:
        monkeypatch.setattr(type(served.gateway), "open_session", broken)
        monkeypatch.setattr(type(served.app.state.socketio), "_find", broken)
        async with answer_to(served, method, path, Origin=PAGE) as answer:
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
            assert answer.headers["access-control-allow-origin"] == PAGE


@WAYS
async def test_pages_read_that_the_gateway_stops(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, origins=[PAGE]) as served:
        served.gateway.drain.begin()
        for method, path, status in (("POST", "/publish/OUT", 503), ("GET", "/sse/IN", 200), ("GET", POLLING, 200)):
            async with answer_to(served, method, path, Origin=PAGE) as answer:
                assert answer.status_code == status
                assert answer.headers["access-control-allow-origin"] == PAGE


async def test_pages_read_that_they_were_too_slow(nats: NatsServer) -> None:
    async with running(nats.url, origins=[PAGE], limits={"body_stall_timeout": "200ms"}) as served:
        post = await RawPost.begin(served.server.port, "/publish/OUT", 5, f"Origin: {PAGE}")
        assert await post.status() == 408
        assert f"access-control-allow-origin: {PAGE}\r\nvary: origin".encode() in await post.rest()
        post.close()


# -- what it takes


async def test_each_request_of_a_connection_is_asked_anew(nats: NatsServer) -> None:
    async with running(nats.url, origins=[PAGE]) as served:
        for _ in range(2):
            for origin, status in ((PAGE, 202), (EVIL, 403), (None, 202)):
                headers = {} if origin is None else {"Origin": origin}
                answer = await served.http.post("/publish/OUT", content=b"x", headers=headers)
                assert answer.status_code == status
                assert answer.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None)
        assert served.server.uvicorn.server_state.total_requests >= 6


async def test_what_was_told_of_one_answer_is_not_of_the_next(nats: NatsServer) -> None:
    async with running(nats.url, origins=[PAGE]) as served:
        await served.http.get("/nothing", headers={"Origin": PAGE})
        answer = await served.http.get("/healthz", headers={"Origin": PAGE})
        assert cors_of(answer) == {}
        assert "vary" not in answer.headers


async def test_many_refused_origins_are_told_of_in_one_line(nats: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running(nats.url) as served:
        for number in range(140):
            await served.http.get("/sse/IN", headers={"Origin": f"http://x{number}"})
        assert served.value("wsgw_rejected_total", reason="forbidden") == 140
    assert len([each for each in caplog.messages if each.startswith("refused: origin ")]) == 128
    assert [each for each in caplog.messages if each.startswith("refused: forbidden")] == [
        "refused: forbidden: origin http://x128 is not in 'origins'"
    ]

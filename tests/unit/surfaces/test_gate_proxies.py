"""Who asks by proxies, on every surface, on our server and under another one: whose word is taken, and whose is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from helpers.nats_server import NatsServer
from helpers.proxyheader import version_1, version_2
from helpers.raw_http import RawPost
from helpers.raw_websocket import RawWebSocket, text
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.access.principal import Principal

LOCAL = "127.0.0.1"
#: They listen on loopback only.
HOSTS = ["app.example"]
WAYS = pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
CLIENT = ("8.8.8.8", "8.8.8.8")
#: Each says that the client is 8.8.8.8, and what a browser asked for.
SAID = [
    {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Host": "app.example", "X-Forwarded-Proto": "https"},
    {"Forwarded": 'for="8.8.8.8:1234";host=app.example;proto=https'},
]
Ask = Callable[[Running, dict[str, str]], Awaitable[None]]


async def post(served: Running, headers: dict[str, str]) -> None:
    assert (await served.http.post("/publish/OUT", content=b"x", headers=headers)).status_code == 202


async def ask(served: Running, headers: dict[str, str]) -> None:
    assert (await served.http.post("/request/SUM", content=b"x", headers=headers)).status_code == 503


async def stream(served: Running, headers: dict[str, str]) -> None:
    await served.stream("/sse/IN", *[f"{name}: {value}" for name, value in headers.items()])


async def websocket(served: Running, headers: dict[str, str], path: str = "/ws/BOTH") -> RawWebSocket:
    client = RawWebSocket(served.server.port, path)
    served._clients.append(client)
    await client.connect(headers=headers)
    await client.shake_hands()
    assert client.response is not None
    assert client.response.status_code == 101
    return client


async def plain(served: Running, headers: dict[str, str]) -> None:
    await websocket(served, headers)


async def socketio(served: Running, headers: dict[str, str]) -> None:
    client = await websocket(served, headers, "/socket.io/?EIO=4&transport=websocket")
    await client.send(text("40"))


async def polling(served: Running, headers: dict[str, str]) -> None:
    """Where it comes from is where its session came from first, whatever later requests say."""
    path = "/socket.io/?EIO=4&transport=polling"
    opening = await served.http.get(path, headers=headers)
    path += "&sid=" + opening.headers["x-wsgw-sid"]
    assert (await served.http.post(path, content=b"40", headers={"X-Forwarded-For": "9.9.9.9"})).text == "ok"


SURFACES = pytest.mark.parametrize("visit", [post, ask, stream, plain, socketio, polling])


@pytest.fixture
def principals(monkeypatch: pytest.MonkeyPatch) -> list[Principal]:
    """All that are made."""
    made: list[Principal] = []
    init = Principal.__init__

    def noting(self: Principal, *given: Any) -> None:
        init(self, *given)
        made.append(self)

    monkeypatch.setattr(Principal, "__init__", noting)
    return made


async def comer(principals: list[Principal]) -> tuple[str, str | None]:
    await eventually(lambda: principals, "it came")
    (principal,) = principals
    return principal.client, principal.network


@WAYS
@SURFACES
@pytest.mark.parametrize("said", SAID)
async def test_the_client_of_a_trusted_proxy(
    nats: NatsServer, principals: list[Principal], direct: bool, visit: Ask, said: dict[str, str]
) -> None:
    async with running(nats.url, direct=direct, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        await visit(served, {**said, "Origin": "https://app.example"})
        assert await comer(principals) == CLIENT


@WAYS
@SURFACES
@pytest.mark.parametrize(("trusted", "network"), [(None, None), ([], LOCAL), (["10.0.0.0/8", "::1", "unix"], LOCAL)])
async def test_the_word_of_others_is_not_taken(
    nats: NatsServer,
    principals: list[Principal],
    direct: bool,
    visit: Ask,
    trusted: list[str] | None,
    network: str | None,
) -> None:
    values: dict[str, Any] = {} if trusted is None else {"trusted_proxies": trusted}
    async with running(nats.url, direct=direct, **values) as served:
        await visit(served, {**SAID[0], **SAID[1], "X-Real-IP": "8.8.8.8"})
        assert await comer(principals) == (LOCAL, network)


@pytest.mark.parametrize("header", [version_1("8.8.8.8", 1), version_2("8.8.8.8", 1)])
@pytest.mark.parametrize(
    "request_",
    [
        b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Forwarded-For: 9.9.9.9\r\n",
        b"GET /sse/IN HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\n",
        b"GET /ws/IN HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nForwarded: for=9.9.9.9\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
async def test_by_the_proxy_protocol(
    nats: NatsServer, principals: list[Principal], header: bytes, request_: bytes
) -> None:
    """Then it is the client that says headers, and is not believed."""
    async with running(nats.url, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        reader, writer = await asyncio.open_connection(LOCAL, served.server.port)
        writer.write(header + request_ + b"\r\n")
        assert (await reader.readline()).split()[1] in (b"101", b"200", b"202")
        assert await comer(principals) == CLIENT
        writer.close()
    principals.clear()
    async with running(nats.url) as served:
        answer = await RawPost.whole(served.server.port, header + request_ + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert principals == []


# -- origins and hosts


async def status(served: Running, origin: str | None, **said: str) -> int:
    headers = {name.replace("_", "-"): value for name, value in said.items()}
    answer = await served.http.post(
        "/publish/OUT", content=b"x", headers=headers if origin is None else {**headers, "Origin": origin}
    )
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (origin if answer.status_code == 202 else None)
    return answer.status_code


@WAYS
async def test_same_behind_a_proxy_that_changes_host(nats: NatsServer, direct: bool) -> None:
    """As with nginx's plain ``proxy_pass``, and TLS in front."""
    async with running(nats.url, direct=direct, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        said = {"X_Forwarded_For": "8.8.8.8", "X_Forwarded_Proto": "https", "Host": "backend:3007"}
        assert await status(served, "https://app.example", **said) == 403
        assert await status(served, "https://app.example", **said, X_Forwarded_Host="app.example") == 202
        assert await status(served, "https://app.example", **said, X_Forwarded_Host="app.example:443") == 202
        assert await status(served, "http://app.example", **said, X_Forwarded_Host="app.example") == 403
        assert await status(served, "https://app.example:8443", **said, X_Forwarded_Host="app.example") == 403
        assert await status(served, "https://app.example:8443", **said, X_Forwarded_Host="app.example:8443") == 202
        port = {"X_Forwarded_Host": "app.example", "X_Forwarded_Port": "8443"}
        assert await status(served, "https://app.example:8443", **said, **port) == 202
        assert await status(served, "https://app.example", **said, **port) == 403
        assert await status(served, "https://evil.example", **said, X_Forwarded_Host="app.example") == 403
        assert await status(served, "https://backend:3007", **said, X_Forwarded_Host="app.example") == 403
        assert (
            await status(served, "http://app.example", Host="backend", Forwarded="for=8.8.8.8;host=app.example") == 202
        )
        # who passes Host on has to say nothing
        assert await status(served, "https://app", Host="app", X_Forwarded_For="8.8.8.8") == 202
        assert await status(served, "https://app", Host="app", X_Forwarded_Proto="https") == 202
        assert await status(served, "https://app", Host="app", X_Forwarded_Proto="http") == 403


@WAYS
async def test_a_refusal_says_what_was_asked(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        headers = {"Origin": "https://app.example", "Host": "backend:3007", "X-Forwarded-Proto": "https"}
        answer = await served.http.post("/publish/OUT", headers=headers)
        assert answer.json()["error"]["message"] == (
            "origin https://app.example is not in 'origins', and proxies say that https://backend:3007 was asked"
        )


@WAYS
async def test_what_others_say_of_host_is_ignored(nats: NatsServer, direct: bool) -> None:
    cases: list[dict[str, Any]] = [{}, {"trusted_proxies": ["10.0.0.1"]}]
    for values in cases:
        async with running(nats.url, direct=direct, **values) as served:
            for said in SAID:
                assert await status(served, "https://app.example", **said) == 403
                own = f"http://127.0.0.1:{served.server.port}"
                assert await status(served, own, **said) == 202


@WAYS
async def test_hosts_are_those_that_browsers_ask_for(nats: NatsServer, direct: bool) -> None:
    everywhere: dict[str, Any] = {"hosts": HOSTS, "listen": "0.0.0.0:3007"}
    async with running(nats.url, direct=direct, trusted_proxies=[LOCAL], **everywhere) as served:
        assert await status(served, None, Host="backend.internal") == 403
        assert await status(served, None, Host="backend.internal", X_Forwarded_Host="app.example") == 202
        assert await status(served, None, Host="app.example", X_Forwarded_Host="evil.example") == 403
        assert await status(served, None, Host="app.example", Forwarded="for=8.8.8.8;host=evil.example") == 403
        assert await status(served, None, Host="app.example", Forwarded='for=8.8.8.8;host="a b"') == 403
    async with running(nats.url, direct=direct, **everywhere) as served:
        assert await status(served, None, Host="backend.internal", X_Forwarded_Host="app.example") == 403


@WAYS
async def test_a_rebound_page_is_none_of_a_proxy_on_this_machine(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct, trusted_proxies=[LOCAL]) as served:
        for name in ("localhost", "127.0.0.1"):
            assert await status(served, None, Host="evil.example", X_Forwarded_Host=name) == 403
            assert await status(served, None, Host=name, X_Forwarded_Host="evil.example") == 403
            assert await status(served, None, Host=name, X_Forwarded_Host="app") == 202


async def test_a_websocket_of_a_page_behind_a_proxy(nats: NatsServer) -> None:
    async with running(nats.url, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        headers = {"Origin": "https://app.example", "Host": "backend", **SAID[1]}
        client = await websocket(served, headers)
        assert not client.ended
        refused = await websocket(served, {**headers, "Origin": "https://evil.example"})
        assert (await refused.receive_close())[0] == 4503


async def test_health_is_told_whatever_is_said(nats: NatsServer) -> None:
    async with running(nats.url, trusted_proxies=[LOCAL], hosts=HOSTS) as served:
        headers = {"X-Forwarded-For": "garbage", "Forwarded": '"', "X-Forwarded-Host": "<>"}
        answer = await served.http.get("/healthz", headers=headers)
        assert answer.status_code == httpx.codes.OK

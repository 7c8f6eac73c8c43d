"""Clients that your own endpoint knows, by every surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from helpers.client_socketio import SocketIOClient
from helpers.deciding import Deciding
from helpers.nats_server import NatsServer
from helpers.own_endpoint import OwnEndpoint, handshake_headers
from helpers.raw_websocket import RawWebSocket
from helpers.running import Running, running
from helpers.waiting import arrived

CHANNELS = [
    {"name": "IN", "direction": "inbound", "subject": "delegated.in"},
    {"name": "OUT", "direction": "outbound", "subject": "delegated.out"},
]
RIGHTS = {"subscribe": ["IN"], "publish": ["OUT"]}
COOKIE = {"cookie": "sid=1"}


@pytest.fixture
async def own() -> AsyncIterator[OwnEndpoint]:
    server = OwnEndpoint()
    await server.start()
    server.say(200, {"user": "alice", "wsgw": RIGHTS})
    yield server
    await server.close()


@pytest.fixture
async def served(nats: NatsServer, own: OwnEndpoint) -> AsyncIterator[Running]:
    auth = {"delegate": {"url": own.url, "timeout": "500ms"}}
    async with running(nats.url, channels=CHANNELS, auth=auth) as made:
        yield made


async def websocket(served: Running, path: str, headers: dict[str, str]) -> RawWebSocket:
    client = RawWebSocket(served.server.port, path)
    await client.connect(headers=headers)
    await client.shake_hands()
    return client


async def test_one_cookie_is_one_call_whatever_the_surface(served: Running, own: OwnEndpoint) -> None:
    posts = [served.http.post("/publish/OUT", content=b"x", headers=COOKIE) for _ in range(20)]
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {202}
    denied = await served.http.post("/publish/IN", content=b"x", headers=COOKIE)
    assert denied.status_code == 405
    client = await websocket(served, "/ws/IN", COOKIE)
    stream = await served.stream("/sse/IN", "Cookie: sid=1")
    await stream.until_retry()
    client.close()
    assert len(own.heads) == 1
    assert handshake_headers(own.heads[0])["x-forwarded-for"] == "127.0.0.1"


async def test_refusals(served: Running, own: OwnEndpoint) -> None:
    for status, cookie, told, code in ((401, "a", 401, 4501), (403, "b", 403, 4503), (500, "c", 503, 1013)):
        own.say(status, b"")
        headers = {"cookie": cookie}
        assert (await served.http.post("/publish/OUT", content=b"x", headers=headers)).status_code == told
        client = await websocket(served, "/ws/IN", headers)
        assert (await client.receive_close())[0] == code
        client.close()
    assert (await served.http.post("/publish/OUT", content=b"x")).status_code == 401
    assert len(own.heads) == 3


async def test_one_that_does_not_answer_holds_nobody_for_long(served: Running, own: OwnEndpoint) -> None:
    own.may_answer.clear()
    posts = [served.http.post("/publish/OUT", content=b"x", headers={"cookie": f"sid={i}"}) for i in range(20)]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*posts)
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(503, "auth_unavailable")}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_socketios_token_goes_as_a_bearer_token(served: Running, own: OwnEndpoint, transport: str) -> None:
    client = SocketIOClient()
    url = f"http://127.0.0.1:{served.server.port}"
    await client.sio.connect(url, transports=[transport], auth={"token": "abc"})
    await client.close()
    assert [handshake_headers(head).get("authorization") for head in own.heads] == ["Bearer abc"]


async def test_a_session_ends_when_the_answer_says(served: Running, own: OwnEndpoint) -> None:
    own.say(200, {"user": "alice", "wsgw": RIGHTS, "expires_in": 1})
    client = await websocket(served, "/ws/IN", COOKIE)
    assert (await client.receive_close())[0] == 4010
    client.close()


async def test_a_nats_service_is_asked_in_the_same_way(nats: NatsServer) -> None:
    deciding = Deciding()
    await deciding.start(nats.url)
    deciding.decide = lambda asked: (
        {"user": "alice", "wsgw": RIGHTS} if asked["headers"]["cookie"] == "sid=1" else {"allow": False}
    )
    auth = {"delegate": {"subject": deciding.subject}}
    async with running(nats.url, channels=CHANNELS, auth=auth) as served:
        first, second = [
            await served.http.post("/publish/OUT", content=b"x", headers={"cookie": cookie})
            for cookie in ("sid=1", "sid=2")
        ]
        assert (first.status_code, second.status_code) == (202, 401)
    assert deciding.asked[0] == {"headers": {"cookie": "sid=1"}, "client": "127.0.0.1"}
    await deciding.close()


async def test_who_joins_is_told_of_by_name_and_claims(nats: NatsServer, own: OwnEndpoint) -> None:
    deciding = Deciding()
    await deciding.start(nats.url)
    own.say(200, {"user": "alice", "wsgw": {"subscribe": ["IN"]}, "claims": {"team": "a"}})
    channels = [{**CHANNELS[0], **deciding.option}]
    async with running(nats.url, channels=channels, auth={"delegate": {"url": own.url}}) as served:
        client = await websocket(served, "/ws/IN", COOKIE)
        await arrived(deciding.asked, 1)
        client.close()
    claims = {"team": "a", "sub": "alice"}
    assert deciding.asked == [{"user": "alice", "claims": claims, "channel": "IN", "verb": "subscribe"}]
    await deciding.close()

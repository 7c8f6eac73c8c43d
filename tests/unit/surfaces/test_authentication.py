"""With authentication: who may come over WebSocket, SSE and HTTP, what the others are told, and sessions that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.typing import Subprotocol

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_http import RawPost
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.channels.channel import Use
from wsgw.errors import AUTH_UNAVAILABLE, GatewayError
from wsgw.protocols.handshake import Handshake

ALL: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("ann", "ann", **ALL)
    made.add("gone", "ann", seconds=-1, **ALL)
    made.add("none", "bob")
    return made


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def served(nats: NatsServer, tokens: Tokens, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(nats.url, direct=request.param, authenticator=tokens) as made:
        yield made


@pytest.mark.parametrize(
    ("query", "code", "kind"),
    [
        ("", 4501, "unauthenticated"),
        ("?token=x", 4501, "unauthenticated"),
        ("?token=gone", 4010, "token_expired"),
        ("?token=none", 4503, "forbidden"),
    ],
)
async def test_websockets_that_may_not(served: Running, query: str, code: int, kind: str) -> None:
    client = await served.websocket(f"/ws/IN{query}")
    told, reason = await client.receive_close()
    assert told == code
    assert reason
    assert served.value("wsgw_rejected_total", reason=kind) == 1
    await client.send(close(code))
    await served.idle("websocket")


async def test_a_websocket_that_may(served: Running, peer: Peer) -> None:
    client = await served.websocket("/ws/BOTH?token=ann")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
    heard = await peer.listen("BOTH")
    await client.send(text("up"))
    await arrived(heard, 1)
    assert await client.receive() == text("up")


async def test_who_decides_cannot_be_asked(served: Running, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """That passes: who is refused comes back."""

    async def away(handshake: Handshake, token: str | None = None) -> Identity:
        await asyncio.sleep(0)
        raise GatewayError(AUTH_UNAVAILABLE, "nobody there")

    monkeypatch.setattr(tokens, "identify", away)
    client = await served.websocket("/ws/IN?token=ann")
    assert await client.receive_close() == (1013, "nobody there")
    answer = await served.http.post("/publish/OUT?token=ann", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "auth_unavailable")
    answer = await served.http.get("/sse/IN?token=ann")
    assert answer.status_code == 200
    assert "retry:" in answer.text
    assert "event: wsgw:error" in answer.text
    assert "auth_unavailable" in answer.text


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 401, "unauthenticated"),
        ({"authorization": "Bearer x"}, 401, "unauthenticated"),
        ({"authorization": "Bearer gone"}, 401, "token_expired"),
        ({"authorization": "Bearer none"}, 403, "forbidden"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/publish/OUT"), ("POST", "/request/SUM"), ("GET", "/sse/IN"), ("HEAD", "/sse/IN")]
)
async def test_requests_that_may_not(
    served: Running, peer: Peer, method: str, path: str, headers: dict[str, str], status: int, kind: str
) -> None:
    heard = await peer.listen(">")
    answer = await served.http.request(method, path, headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    if method != "HEAD":
        assert answer.json()["error"]["code"] == kind
    await peer.fence()
    assert [payload for payload in heard if payload == b"x"] == []


async def test_a_body_that_takes_longer_than_the_token(served: Running, peer: Peer, tokens: Tokens) -> None:
    heard = await peer.messages("OUT")
    ends = tokens.add("short", "ann", seconds=0.5, **ALL).expires_at
    client = await RawPost.begin(served.server.port, "/publish/OUT", 2, "Authorization: Bearer short")
    await eventually(lambda: "short" in tokens.asked, "it is let in")
    await eventually(lambda: served.gateway.expiries.over(ends), "its time is over")
    await client.send(b"xx")
    assert await client.status() == 401
    client.close()
    await peer.fence()
    assert heard == []


async def test_requests_that_may(served: Running, peer: Peer) -> None:
    await peer.answer("math.sum", lambda payload: payload)
    headers = {"authorization": "Bearer ann"}
    assert (await served.http.post("/publish/OUT", headers=headers, content=b"x")).status_code == 202
    assert (await served.http.post("/request/SUM", headers=headers, content=b"1")).text == "1"
    stream = await served.stream("/sse/IN", "Authorization: Bearer ann")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="IN") == 1, "subscribed")
    await peer.publish("IN", "down")
    assert (await stream.next()).data == "down"


async def test_health_and_metrics_stay_open(served: Running) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await served.http.get(path)).status_code == 200


async def test_who_has_no_token_has_the_rights_of_those(served: Running, tokens: Tokens) -> None:
    tokens.anonymous = Identity(None, rights_of({"publish": ["OUT"]}))
    assert (await served.http.post("/publish/OUT", content=b"x")).status_code == 202
    assert (await served.http.post("/publish/BOTH", content=b"x")).status_code == 403
    # a wrong token is not taken for none, and who has one has what it says
    assert (await served.http.post("/publish/OUT?token=x", content=b"x")).status_code == 401
    assert (await served.http.post("/publish/OUT?token=none", content=b"x")).status_code == 403


async def test_a_websocket_whose_token_ends(served: Running, tokens: Tokens, peer: Peer) -> None:
    """What it sent is confirmed first, and nothing is brought to it any more."""
    tokens.add("short", "ann", seconds=0.5, **ALL)
    client = await served.websocket("/ws/BOTH?token=short")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
    await client.send(text("up"))
    assert await client.receive() == text("up")
    assert (await client.receive_close())[0] == 4010
    assert served.value("wsgw_subscriptions", channel="BOTH") == 0
    await client.send(close(4010))
    await eventually(lambda: served.value("wsgw_closes_total", code="4010") == 1, "counted")
    assert len(served.gateway.expiries) == 0


async def test_a_stream_whose_token_ends(served: Running, tokens: Tokens) -> None:
    """It is told so, and when it may come back; with the same token it may not, which is final."""
    tokens.add("short", "ann", seconds=0.5, **ALL)
    stream = await served.stream("/sse/IN?token=short")
    event = await stream.next()
    assert event.event == "wsgw:error"
    assert "token_expired" in event.data
    assert stream.parser.retry is not None
    await stream.end()
    assert (await served.http.get("/sse/IN?token=short")).status_code == 401


async def test_clients_that_go_before(served: Running, tokens: Tokens) -> None:
    tokens.add("hour", "ann", seconds=3600, **ALL)
    client = await served.websocket("/ws/IN?token=hour")
    stream = await served.stream("/sse/IN?token=hour")
    await eventually(lambda: len(served.gateway.expiries) == 2, "both end one day")
    client.close()
    stream.close()
    await eventually(lambda: len(served.gateway.expiries) == 0, "nothing is kept of them")


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (["bearer", "ann"], "bearer"),
        (["bearer", "ann", "wsgw.envelope.v1"], "wsgw.envelope.v1"),
        (["ann"], None),
    ],
)
@pytest.mark.parametrize("token", ["ann", "x"])
async def test_browsers_are_answered_with_one_that_they_offer(
    served: Running, offered: list[str], answered: str | None, token: str
) -> None:
    """And never with the token. Who is refused is answered with one, too: else it would see no close code."""
    client = RawWebSocket(
        served.server.port, f"/ws/IN?token={token}", subprotocols=[Subprotocol(each) for each in offered]
    )
    await client.connect()
    try:
        response = await client.shake_hands()
    finally:
        client.close()
    assert response.status_code == 101
    assert response.headers.get("sec-websocket-protocol") == answered


def test_every_use_is_asked_for() -> None:
    assert set(ALL) == set(Use)

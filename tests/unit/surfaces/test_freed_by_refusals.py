"""Of clients that are refused, or whose token ends, nothing waits for the collector of cycles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from helpers.cycles import nothing_left
from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.raw_websocket import RawWebSocket, text
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.access.identity import Identity
from wsgw.protocols.handshake import Handshake

POLLING = "/socket.io/?EIO=4&transport=polling"
EVERYTHING: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}


class Awaited(Tokens):
    """Tokens that are looked up elsewhere."""

    def identify(self, handshake: Handshake, token: str | None = None) -> Awaitable[Identity]:
        return self._identify(handshake, token)

    async def _identify(self, handshake: Handshake, token: str | None) -> Identity:
        await asyncio.sleep(0)
        found = super().identify(handshake, token)
        assert isinstance(found, Identity)
        return found


async def websocket(served: Running, path: str, headers: dict[str, str] | None = None) -> RawWebSocket:
    client = RawWebSocket(served.server.port, path)
    await client.connect(headers=headers)
    await client.shake_hands()
    return client


async def without_token(served: Running, tokens: Tokens) -> None:
    client = await websocket(served, "/ws/IN")
    assert (await client.receive_close())[0] == 4501
    client.close()


async def without_right(served: Running, tokens: Tokens) -> None:
    client = await websocket(served, "/ws/BOTH?token=none")
    assert (await client.receive_close())[0] == 4503
    client.close()


async def of_another_page(served: Running, tokens: Tokens) -> None:
    for path in ("/ws/IN", f"{POLLING.replace('polling', 'websocket')}"):
        client = await websocket(served, path, {"Origin": "https://other.example"})
        while (frame := await client.receive()).opcode != 8:
            pass
        assert int.from_bytes(frame.data[:2]) == 4503
        client.close()


async def ends_on_a_websocket(served: Running, tokens: Tokens) -> None:
    tokens.add("short", "ann", seconds=0.2, **EVERYTHING)
    client = await websocket(served, "/ws/BOTH?token=short")
    await client.send(text("x"))
    while (frame := await client.receive()).opcode != 8:
        pass
    assert int.from_bytes(frame.data[:2]) == 4010
    client.close()


async def ends_on_a_stream(served: Running, tokens: Tokens) -> None:
    tokens.add("short", "ann", seconds=0.2, **EVERYTHING)
    client = await served.stream("/sse/IN", "Authorization: Bearer short")
    while (await client.next()).event != "wsgw:error":
        pass
    client.close()
    served._clients.remove(client)


async def over_http(served: Running, tokens: Tokens) -> None:
    tokens.add("over", "ann", seconds=-1, **EVERYTHING)
    for method, path in (("POST", "/publish/OUT"), ("POST", "/request/SUM"), ("GET", "/sse/IN")):
        for token, status in ((None, 401), ("bad", 401), ("over", 401), ("none", 403)):
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            answer = await served.http.request(method, path, headers=headers, content=b"x")
            assert answer.status_code == status, answer.text


async def socketio(served: Running, tokens: Tokens) -> None:
    for auth in ("", '{"token":"bad"}', '{"token":5}'):
        url = f"{POLLING}&sid={(await served.http.get(POLLING)).headers['x-wsgw-sid']}"
        assert (await served.http.post(url, content=f"40{auth}")).text == "ok"
        assert (await served.http.get(url)).text.startswith("44{")
        assert (await served.http.post(url, content="1")).text == "ok"


async def socketio_ends(served: Running, tokens: Tokens) -> None:
    tokens.add("short", "ann", seconds=0.2, **EVERYTHING)
    url = f"{POLLING}&sid={(await served.http.get(POLLING)).headers['x-wsgw-sid']}"
    assert (await served.http.post(url, content='40{"token":"short"}')).text == "ok"
    told = ""
    while "wsgw:expired" not in told:
        answer = await served.http.get(url)
        assert answer.status_code == 200, answer.text
        told = answer.text
    assert (await served.http.post(url, content="42")).status_code in (400, 401)


async def socketio_refreshes(served: Running, tokens: Tokens) -> None:
    url = f"{POLLING}&sid={(await served.http.get(POLLING)).headers['x-wsgw-sid']}"
    assert (await served.http.post(url, content='40{"token":"all"}')).text == "ok"
    for token, told in (("some", "true"), ("bob", "forbidden"), ("bad", "unauthenticated")):
        await served.http.post(url, content=f'427["wsgw:refresh","{token}"]')
        while told not in (await served.http.get(url)).text:
            pass
    assert (await served.http.post(url, content="1")).text == "ok"


async def too_many(served: Running, tokens: Tokens) -> None:
    """By a user that has as many connections as it may."""
    first = await websocket(served, "/ws/IN?token=all")
    second = await websocket(served, "/ws/IN?token=all")
    assert (await second.receive_close())[0] == 4009
    assert "too_many_connections" in (await served.http.get("/sse/IN?token=all")).text
    url = f"{POLLING}&sid={(await served.http.get(POLLING)).headers['x-wsgw-sid']}"
    assert (await served.http.post(url, content='40{"token":"all"}')).text == "ok"
    assert "too_many_connections" in (await served.http.get(url)).text
    assert (await served.http.post(url, content="1")).text == "ok"
    for client in (first, second):
        client.close()


ENDS: tuple[Callable[[Running, Tokens], Awaitable[None]], ...] = (
    *(without_token, without_right, of_another_page, ends_on_a_websocket, ends_on_a_stream, over_http),
    *(socketio, socketio_ends, socketio_refreshes, too_many),
)


@pytest.mark.parametrize("kind", [Tokens, Awaited])
@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_nothing_is_left(
    nats: NatsServer, end: Callable[[Running, Tokens], Awaitable[None]], kind: type[Tokens]
) -> None:
    tokens = kind()
    tokens.add("all", "ann", **EVERYTHING)
    tokens.add("some", "ann", subscribe=["IN"])
    tokens.add("bob", "bob", **EVERYTHING)
    tokens.add("none", "ann")
    async with running(nats.url, authenticator=tokens, limits={"user": {"connections": 1}}) as served:

        async def life() -> None:
            await end(served, tokens)
            for transport in ("websocket", "socketio", "sse"):
                await eventually(lambda t=transport: not served.value("wsgw_connections", transport=t), "gone")  # type: ignore[misc]
            await eventually(lambda: not served.server.uvicorn.server_state.tasks, "answered")
            served.gateway.edge.seats.sweep()

        await life()
        await life()
        left: list[str] = []
        with nothing_left(left):
            await life()
        assert left == []

"""Who is over a limit, as each surface tells it; and that what ends, however it does, is counted no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.access.identity import Identity
from wsgw.protocols.handshake import Handshake

Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
def start(nats: NatsServer, request: pytest.FixtureRequest) -> Start:
    """A gateway with limits, to which all clients here come from one address."""

    @asynccontextmanager
    async def started(authenticator: Tokens | None = None, **limits: Any) -> AsyncIterator[Running]:
        made = running(nats.url, direct=request.param, authenticator=authenticator, trusted_proxies=[], limits=limits)
        async with made as served:
            yield served

    return started


async def status_of(served: Running, path: str) -> tuple[int, str | None]:
    """What a WebSocket's handshake is refused with, and when to come back."""
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = await served.http.get(path, headers=headers)
    return answer.status_code, answer.headers.get("retry-after")


def names(served: Running, scope: str = "address") -> float:
    served.gateway.edge.seats.sweep()
    return served.value("wsgw_limited_names", scope=scope)


async def test_a_websocket_by_address(start: Start) -> None:
    async with start(address={"connections": 1}) as served:
        client = await served.websocket("/ws/IN")
        assert await status_of(served, "/ws/IN") == (429, "5")
        assert served.value("wsgw_rejected_total", reason="too_many_connections") == 1
        assert served.value("wsgw_limited_total", scope="address", limit="connections") == 1
        await client.send(close(1000))
        await client.receive_close()
        await served.idle("websocket")
        assert names(served) == 0
        await served.websocket("/ws/IN")


async def test_too_many_at_a_time(start: Start) -> None:
    async with start(address={"connects_per_second": 0.1, "connections": 100}, burst=20) as served:
        for _ in range(2):
            await served.websocket("/ws/IN")
        status, later = await status_of(served, "/ws/IN")
        assert status == 429
        assert later is not None
        assert 9 <= int(later) <= 10
        assert served.value("wsgw_rejected_total", reason="rate_limited") == 1
        assert served.value("wsgw_connections", transport="websocket") == 2


@pytest.mark.parametrize("path", ["/ws/nowhere", "/ws/OUT?receive=1", "/ws/chat.*?since=bad"])
async def test_who_is_refused_or_goes_is_no_connection(start: Start, path: str) -> None:
    async with start(address={"connections": 1}) as served:
        for _ in range(3):
            client = await served.websocket(path)
            code, _ = await client.receive_close()
            assert code >= 4500 or code == 1007
            client.close()
            await eventually(lambda: names(served) == 0, "it is gone")


async def test_a_connection_that_is_lost(start: Start) -> None:
    async with start(address={"connections": 1}) as served:
        for _ in range(3):
            client = await served.websocket("/ws/OUT")
            await client.send(text("x"))
            client.close()
            await eventually(lambda: names(served) == 0, "it is gone")


async def test_a_user_is_told_by_a_close_code(start: Start) -> None:
    tokens = Tokens()
    tokens.add("a", "ann", publish=[">"], subscribe=[">"])
    tokens.add("b", "bob", publish=[">"], subscribe=[">"])
    async with start(tokens, user={"connections": 1}, address={"connections": 1}) as served:
        first = await served.websocket("/ws/IN?token=a")
        for _ in range(2):
            again = await served.websocket("/ws/IN?token=a")
            assert await again.receive_close() == (4009, "this user has as many connections as it may")
        other = await served.websocket("/ws/IN?token=b")
        for client in (first, other):
            client.close()
        await eventually(lambda: names(served, "user") == 0, "both are gone")
        assert served.value("wsgw_rejected_total", reason="too_many_connections") == 2
        assert names(served) == 0


async def test_connections_of_a_user_that_wait_send_one_after_the_other(peer: Peer, start: Start) -> None:
    """They have all been held, and nothing is owed any more: what the first one sends is, before the others do."""
    tokens = Tokens()
    tokens.add("a", "ann", publish=[">"], subscribe=[">"])
    heard = await peer.listen("OUT")
    async with start(tokens, user={"messages_per_second": 10}, burst=0.1, rate_timeout=3600) as served:
        begun = time.monotonic()
        clients = [await served.websocket("/ws/OUT?token=a") for _ in range(20)]
        for client in clients:
            await client.send(*[text("x") for _ in range(3)])
        await arrived(heard, 15)
        assert len(heard) <= 10 * (time.monotonic() - begun) + 2


class Slow(Tokens):
    """It says who somebody is when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_say = asyncio.Event()

    async def identify(self, handshake: Handshake, token: str | None = None) -> Identity:
        found = super().identify(handshake, token)
        assert isinstance(found, Identity)
        await self.may_say.wait()
        return found


@pytest.mark.parametrize("ends", ["known", "gone"])
async def test_who_is_not_known_yet_counts_by_its_address(start: Start, ends: str) -> None:
    """To find out may take long, and be asked for many times."""
    tokens = Slow()
    tokens.add("a", "ann", publish=[">"], subscribe=[">"])
    async with start(tokens, address={"connections": 2}) as served:
        with closing(RawWebSocket(served.server.port, "/ws/IN?token=a")) as websocket:
            await websocket.connect()
            stream = await served.event_client()
            await stream.ask("/sse/IN?token=a")
            await eventually(lambda: len(tokens.asked) == 2, "both are asked about")
            assert await status_of(served, "/ws/IN?token=a") == (429, "5")
            assert '"code":"too_many_connections"' in (await served.http.get("/sse/IN?token=a")).text
            assert len(tokens.asked) == 2
            if ends == "gone":
                websocket.close()
                stream.close()
            tokens.may_say.set()
            await eventually(lambda: names(served) == 0, "nobody counts by the address")
            for _ in range(3):
                client = await served.websocket("/ws/IN?token=a")
                assert client.response is not None
                assert client.response.status_code == 101


async def test_who_comes_again_has_sent_what_it_sent(start: Start) -> None:
    """A user's rates are that user's: of a new connection nothing is taken while they are used up.

    One that sends nothing is not held for it.
    """
    tokens = Tokens()
    for user in ("ann", "bob"):
        tokens.add(user, user, publish=[">"], subscribe=[">"])
    async with start(tokens, user={"messages_per_second": 0.01}, burst=500) as served:

        def accepted() -> float:
            return served.value("wsgw_published_messages_total", channel="OUT", transport="websocket")

        ann = await served.websocket("/ws/OUT?token=ann")
        await ann.send(*[text("x")] * 20)
        await eventually(lambda: accepted() in (6, 10), "what is let through, and what is taken at once beyond it")
        before = accepted()
        for _ in range(3):
            ann = await served.websocket("/ws/OUT?token=ann")
            await ann.send(text("x"))
        receiving = await served.websocket("/ws/IN?token=ann")
        await receiving.send(close(1000))
        assert await receiving.receive_close() == (1000, "")
        bob = await served.websocket("/ws/OUT?token=bob")
        await bob.send(text("x"))
        await eventually(lambda: accepted() > before, "others are not held")
        assert accepted() == before + 1


async def test_a_stream_says_when_to_come_back(start: Start) -> None:
    async with start(address={"connections": 1}) as served:
        stream = await served.stream("/sse/IN")
        answer = await served.http.get("/sse/IN")
        assert answer.status_code == 200
        assert '"code":"too_many_connections"' in answer.text
        retry = int(answer.text.partition("retry: ")[2].partition("\n")[0])
        assert 6000 <= retry <= 8000
        stream.close()
        await eventually(lambda: names(served) == 0, "it is gone")


async def test_a_head_of_a_stream_is_no_connection(start: Start) -> None:
    async with start(address={"connections": 1}) as served:
        for _ in range(3):
            assert (await served.http.head("/sse/IN")).status_code == 200
        assert names(served) == 0


async def test_a_stop_leaves_nothing(start: Start) -> None:
    async with start(address={"connections": 10}) as served:
        clients = [await served.websocket("/ws/IN") for _ in range(3)]
        stream = await served.stream("/sse/IN")
        assert names(served) == 1

        async def answer(client: RawWebSocket) -> None:
            await client.receive_close()
            await client.send(close(1001))

        await asyncio.gather(served.gateway.drain.run(), *map(answer, clients))
        stream.close()
        await eventually(lambda: names(served) == 0, "all are gone")


async def test_a_post_counts_before_it_is_known_whose_it_is(start: Start) -> None:
    tokens = Tokens()
    tokens.add("a", "ann", publish=[">"])
    async with start(tokens, address={"messages_per_second": 0.01}, burst=200) as served:
        for _ in range(5):
            assert (await served.http.post("/publish/OUT?token=a", content=b"x")).status_code == 202
        for expected in (401, 401, 429, 429):
            answer = await served.http.post("/publish/OUT?token=wrong", content=b"x")
            assert answer.status_code == expected
        assert int(answer.headers["retry-after"]) > 50
        assert answer.headers["access-control-expose-headers"] == "retry-after"  # else no page of others may read it
        assert len(tokens.asked) == 7

"""Sessions of Engine.IO are connections: from the handshake on, whoever their clients prove to be, until their end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.running import Running, running
from helpers.waiting import eventually

POLLING = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("a", "ann", publish=[">"], subscribe=[">"])
    made.add("b", "bob", publish=[">"], subscribe=[">"])
    return made


@pytest.fixture
async def served(nats: NatsServer, tokens: Tokens) -> AsyncIterator[Running]:
    """Where an address may have two connections, and a user one."""
    limits = {"address": {"connections": 2}, "user": {"connections": 1}, "unconnected_sessions": 3}
    async with running(nats.url, authenticator=tokens, trusted_proxies=[], limits=limits) as made:
        yield made


async def opened(served: Running) -> str:
    """The path of a new session."""
    answer = await served.http.get(POLLING)
    assert answer.status_code == 200, answer.text
    return f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"


async def said(served: Running, path: str, packet: str) -> str:
    """What a session answers to a packet."""
    assert (await served.http.post(path, content=packet)).status_code == 200
    return (await served.http.get(path)).text


def names(served: Running, scope: str) -> float:
    served.gateway.edge.seats.sweep()
    return served.value("wsgw_limited_names", scope=scope)


async def test_from_the_handshake_on(served: Running) -> None:
    one, _ = await opened(served), await opened(served)
    answer = await served.http.get(POLLING)
    assert (answer.status_code, answer.json()) == (429, {"code": 4, "message": "Too many connections"})
    assert answer.headers["retry-after"] == "5"
    assert served.value("wsgw_rejected_total", reason="too_many_connections") == 1
    assert (await served.http.post(one, content="1")).status_code == 200
    await opened(served)


async def test_by_its_user_once_that_is_known(served: Running) -> None:
    first = await opened(served)
    assert (await said(served, first, '40{"token":"a"}')).startswith("40{")
    assert names(served, "address") == 0
    assert names(served, "user") == 1
    second, _ = await opened(served), await opened(served)
    refusal = await said(served, second, '40{"token":"a"}')
    assert json.loads(refusal[2:])["data"]["error"]["code"] == "too_many_connections"
    assert (await served.http.get(POLLING)).status_code == 429  # it is a stranger's still
    assert (await served.http.post(first, content="1")).status_code == 200
    await eventually(lambda: names(served, "user") == 0, "it is gone")
    assert (await said(served, second, '40{"token":"a"}')).startswith("40{")


async def test_a_client_that_leaves_and_connects_again_is_one(served: Running) -> None:
    path = await opened(served)
    for _ in range(3):
        assert (await said(served, path, '40{"token":"a"}')).startswith("40{")
        assert (await served.http.post(path, content="41")).status_code == 200
        assert names(served, "user") == 1
    assert (await served.http.post(path, content="1")).status_code == 200
    await eventually(lambda: names(served, "user") == 0, "it is gone")


@pytest.mark.parametrize("address", [{}, {"connections": 10}])
async def test_one_that_has_left_is_a_connection_until_it_ends(
    nats: NatsServer, tokens: Tokens, address: dict[str, int]
) -> None:
    """A client may leave the namespace, and have its session for as long as it likes."""
    limits = {"user": {"connections": 2}, "address": address}
    async with running(nats.url, authenticator=tokens, trusted_proxies=[], limits=limits) as served:
        held = [await opened(served) for _ in range(2)]
        for path in held:
            assert (await said(served, path, '40{"token":"a"}')).startswith("40{")
            assert (await served.http.post(path, content="41")).status_code == 200
        another = await opened(served)
        refusal = await said(served, another, '40{"token":"a"}')
        assert json.loads(refusal[2:])["data"]["error"]["code"] == "too_many_connections"
        assert (await said(served, await opened(served), '40{"token":"b"}')).startswith("40{")
        assert (await served.http.post(held[0], content="1")).status_code == 200
        assert (await said(served, another, '40{"token":"a"}')).startswith("40{")
        served.app.state.socketio.close_all()
        for path in (held[1], another):
            assert (await served.http.get(path)).text == "1"
        await eventually(lambda: names(served, "user") == 1, "bob's is left, who has not asked yet")


async def test_one_that_is_refused_is_none(served: Running) -> None:
    for query in ("", "&EIO=4&sid=nobody", "&j=0"):
        assert (await served.http.get(f"/socket.io/?transport=polling{query}")).status_code == 400
    assert names(served, "address") == 0


async def test_a_stop_leaves_nothing(served: Running) -> None:
    strangers = [await opened(served)]
    known = await opened(served)
    assert (await said(served, known, '40{"token":"a"}')).startswith("40{")
    strangers.append(await opened(served))
    served.app.state.socketio.close_all()
    for path in (*strangers, known):
        assert (await served.http.get(path)).text == "1"
    assert (names(served, "address"), names(served, "user")) == (0, 0)


async def test_the_oldest_that_have_to_end_make_room(nats: NatsServer) -> None:
    limits = {"address": {"connections": 2}, "unconnected_sessions": 1}
    async with running(nats.url, trusted_proxies=[], limits=limits) as served:
        for _ in range(5):
            path = await opened(served)
        assert (await said(served, path, "40")).startswith("40{")
        assert names(served, "address") == 1

"""Whose a session is: its sid alone is not enough for who shows to be another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import socketio

from helpers.identities import AUTH, Tokens
from helpers.nats_server import NatsServer
from helpers.raw_websocket import RawWebSocket
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.errors import AUTH_UNAVAILABLE, GatewayError
from wsgw.surfaces.socketio import binding as module

ALL: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}
POLLING = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("ann", "ann", **ALL)
    made.add("anew", "ann", **ALL)
    made.add("bob", "bob", **ALL)
    made.add("gone", "ann", seconds=-1, **ALL)
    return made


@pytest.fixture
async def served(nats: NatsServer, tokens: Tokens) -> AsyncIterator[Running]:
    async with running(nats.url, authenticator=tokens) as made:
        yield made


def showing(token: str | None) -> dict[str, str]:
    return {} if token is None else {"authorization": f"Bearer {token}"}


async def opened(served: Running, token: str | None, said: str | None = None) -> str:
    """The URL of a session that has connected."""
    answer = await served.http.get(POLLING, headers=showing(token))
    url = f"{POLLING}&sid={answer.headers['x-wsgw-sid']}"
    auth = "" if said is None else f'{{"token":"{said}"}}'
    assert (await served.http.post(url, headers=showing(token), content=f"40{auth}")).text == "ok"
    assert (await served.http.get(url, headers=showing(token))).text.startswith('40{"sid"')
    return url


def is_unauthenticated(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.json() == {"code": 4, "message": "Unauthenticated"}


@pytest.mark.parametrize("token", ["bob", "x", "gone"])
async def test_another_client_can_do_nothing_with_a_sid(served: Running, token: str | None) -> None:
    """And the session goes on."""
    url = await opened(served, "ann")
    for answer in [
        await served.http.get(url, headers=showing(token)),
        await served.http.post(url, headers=showing(token), content='42["OUT","forged"]'),
    ]:
        assert answer.status_code == 401
        assert answer.json()["message"] == ("Token expired" if token == "gone" else "Unauthenticated")
    assert served.value("wsgw_published_messages_total", channel="OUT", transport="socketio") == 0
    assert (await served.http.post(url, headers=showing("ann"), content='42["OUT","own"]')).text == "ok"
    await eventually(
        lambda: served.value("wsgw_published_messages_total", channel="OUT", transport="socketio") == 1, "published"
    )


async def test_who_shows_nothing_any_more(served: Running) -> None:
    """Python's client sends headers with its first request only. What comes by itself with each request has to come."""
    url = await opened(served, "ann")
    assert (await served.http.post(url, content="3")).text == "ok"
    answer = await served.http.get(f"{POLLING}&token=ann")
    sid = answer.headers["x-wsgw-sid"]
    assert (await served.http.post(f"{POLLING}&token=ann&sid={sid}", content="40")).text == "ok"
    assert is_unauthenticated(await served.http.post(f"{POLLING}&sid={sid}", content="3"))
    assert is_unauthenticated(await served.http.get(f"{POLLING}&sid={sid}"))


async def test_who_decides_cannot_be_asked(served: Running, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await opened(served, "ann")

    def away(*_: object) -> Identity:
        raise GatewayError(AUTH_UNAVAILABLE, "away")

    with monkeypatch.context() as patched:
        patched.setattr(tokens, "identify", away)
        assert (await served.http.post(url, headers=showing("anew"), content="3")).status_code == 503
        assert (await served.http.post(url, headers=showing("ann"), content="3")).text == "ok"
    assert (await served.http.post(url, headers=showing("anew"), content="3")).text == "ok"


async def test_visitors_whom_nobody_knows_by_name(served: Running, tokens: Tokens) -> None:
    """Their cookies may change: one is as good as another."""
    for token in ("v1", "v2"):
        tokens.identities[token] = Identity(None, rights_of({}))
    url = await opened(served, "v1")
    assert (await served.http.post(url, headers=showing("v2"), content="3")).text == "ok"
    assert is_unauthenticated(await served.http.post(url, headers=showing("ann"), content="3"))


async def test_a_new_token_of_the_same_user(served: Running, tokens: Tokens) -> None:
    """A cookie that was renewed, say: looked at once."""
    url = await opened(served, "ann")
    asked = len(tokens.asked)
    for _ in range(3):
        assert (await served.http.post(url, headers=showing("anew"), content="3")).text == "ok"
    assert len(tokens.asked) == asked + 1


async def test_before_it_is_known_who_it_is(served: Running) -> None:
    answer = await served.http.get(POLLING, headers=showing("ann"))
    url = f"{POLLING}&sid={answer.headers['x-wsgw-sid']}"
    for token in ("anew", "bob"):
        assert is_unauthenticated(await served.http.post(url, headers=showing(token), content="40"))
    assert (await served.http.post(url, headers=showing("ann"), content="40")).text == "ok"


async def test_who_said_it_with_its_connect_shows_nothing(served: Running) -> None:
    url = await opened(served, None, "ann")
    assert (await served.http.post(url, content="3")).text == "ok"
    assert is_unauthenticated(await served.http.post(url, headers=showing("bob"), content="3"))
    assert (await served.http.post(url, headers=showing("ann"), content="3")).text == "ok"


@pytest.mark.parametrize(("token", "status"), [("ann", 101), (None, 101), ("anew", 101), ("bob", 401)])
async def test_the_upgrade(served: Running, token: str | None, status: int) -> None:
    """A browser's WebSocket has no Authorization header, whatever its requests had."""
    url = await opened(served, "ann")
    client = RawWebSocket(served.server.port, url.replace("transport=polling", "transport=websocket"))
    await client.connect(headers=showing(token))
    assert (await client.shake_hands()).status_code == status
    client.close()


async def test_a_session_whose_token_has_ended(
    served: Running, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EXPIRED", 1)
    tokens.add("short", "ann", seconds=0.3, **ALL)
    first = await opened(served, None, "short")
    answer = await served.http.get(first)  # waits for it
    assert answer.text.startswith('42["wsgw:expired",{"error":{"code":"token_expired"')
    assert answer.text.endswith("\x1e1")
    for _ in range(2):
        answer = await served.http.get(first)
        assert (answer.status_code, answer.json()) == (401, {"code": 4, "message": "Token expired"})
    tokens.add("short", "ann", seconds=0.3, **ALL)
    second = await opened(served, None, "short")
    await served.http.get(second)
    assert (await served.http.get(second)).status_code == 401
    answer = await served.http.get(first)  # is not known any more
    assert (answer.status_code, answer.json()["code"]) == (400, 1)


async def test_without_authentication_nobody_is_asked(direct: Running) -> None:
    answer = await direct.http.get(POLLING, headers=showing("ann"))
    url = f"{POLLING}&sid={answer.headers['x-wsgw-sid']}"
    assert (await direct.http.post(url, headers=showing("bob"), content="40")).text == "ok"


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"], ["websocket"]], ids="+".join)
async def test_pythons_client_with_a_header(served: Running, transports: list[str]) -> None:
    client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
    url = f"http://127.0.0.1:{served.server.port}"
    try:
        await client.connect(url, headers=showing("ann"), transports=transports)
        assert await client.call("OUT", "x", timeout=10) is True
    finally:
        await client.disconnect()
    await served.idle("socketio")


async def test_a_handshake_that_shows_what_is_no_token_leaves_nothing(nats: NatsServer) -> None:
    async with running(nats.url, auth=AUTH) as served:
        kept = served.value("wsgw_memory_bytes")
        for _ in range(10):
            assert is_unauthenticated(await served.http.get(POLLING, headers={"authorization": "Basic eDp5"}))
        assert served.value("wsgw_memory_bytes") == kept
        assert served.value("wsgw_rejected_total", reason="unauthenticated") == 10

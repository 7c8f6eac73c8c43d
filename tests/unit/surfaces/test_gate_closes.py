"""How a WebSocket that the gate refuses is closed: what it is told, and by which subprotocol."""

from __future__ import annotations

import asyncio

import pytest

from helpers.nats_server import NatsServer
from helpers.running import running

from .test_gate import EVIL, WAYS, WEBSOCKETS, shake_hands


@WAYS
async def test_what_a_close_says_is_cut(nats: NatsServer, direct: bool) -> None:
    async with running(nats.url, direct=direct) as served:
        client = await shake_hands(served, "/ws/BOTH", Origin="http://" + "a" * 5000)
        code, reason = await client.receive_close()
        assert code == 4503
        assert reason.startswith("origin http://aaaa")
        assert reason.endswith("aaa... is not in 'origins'")
        assert len(reason) <= 123


@WAYS
@pytest.mark.parametrize("path", WEBSOCKETS)
@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("a, b", "a"),
        ("bearer, a.token", "bearer"),
        ("a.token, bearer", "bearer"),
        ("a.token, wsgw.envelope.v1, bearer", "wsgw.envelope.v1"),
    ],
)
async def test_a_subprotocol_is_answered_lest_browsers_hide_the_close(
    nats: NatsServer, direct: bool, path: str, offered: str, answered: str
) -> None:
    """Never one that may be a token."""
    async with running(nats.url, direct=direct) as served:
        client = await shake_hands(served, path, **{"Origin": EVIL, "Sec-WebSocket-Protocol": offered})
        assert client.response is not None
        assert client.response.headers["Sec-WebSocket-Protocol"] == answered


@WAYS
async def test_a_refused_client_that_does_not_answer_the_close_is_dropped(
    nats: NatsServer, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("transports.closing", "transports.asgi"):
        monkeypatch.setattr(f"wsgw.{module}.CLOSE_TIMEOUT_SECONDS", 0.2)
    async with running(nats.url, direct=direct) as served:
        client = await shake_hands(served, "/ws/BOTH", Origin=EVIL)
        await asyncio.wait_for(client.end(), 25 if not direct else 5)

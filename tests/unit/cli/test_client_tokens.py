"""The command-line clients at a gateway that asks who they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived

SECRET = "a secret of these tests, long enough for HS256"
GOOD = jwt.encode({"sub": "ann", "wsgw": {"subscribe": ["IN"], "publish": ["OUT"]}}, SECRET, "HS256")
LESS = jwt.encode({"sub": "ann"}, SECRET, "HS256")


@pytest.fixture
async def gateway(nats_url: str) -> AsyncIterator[Running]:
    async with running(nats_url, auth={"jwt": {"secret": SECRET}}) as made:
        yield made


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_the_right_one(wsgw: Any, gateway: Running, nats_url: str, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{gateway.server.port}"
    peer = await Peer.connect(nats_url)
    heard = await peer.listen("OUT")
    consumer = await wsgw("consumer", "-u", url, "-t", "IN", "--token", GOOD)
    await consumer.printed("Start listening")
    try:
        await peer.publish("IN", "hello")
        await consumer.printed('WS[IN] >> "hello"')
        assert await consumer.stop() == 0
        producer = await wsgw("producer", "-u", url, "-t", "OUT", "-m", "1", WSGW_TOKEN=GOOD)
        assert await producer.ended() == 0
        await arrived(heard, 1)
    finally:
        await peer.close()
    assert GOOD not in consumer.output + producer.output


@pytest.mark.parametrize(("token", "why"), [(None, "unauthenticated"), ("x", "unauthenticated"), (LESS, "forbidden")])
async def test_http_tells_why_not(wsgw: Any, gateway: Running, token: str | None, why: str) -> None:
    url = f"http://127.0.0.1:{gateway.server.port}"
    consumer = await wsgw("consumer", "-u", url, "-t", "IN", *([] if token is None else ["--token", token]))
    assert await consumer.ended() == 1
    assert f"the connection was refused: {why}: " in consumer.output


@pytest.mark.parametrize(("token", "code"), [(None, 4501), ("x", 4501), (LESS, 4503)])
async def test_a_websocket_tells_why_not(wsgw: Any, gateway: Running, token: str | None, code: int) -> None:
    url = f"ws://127.0.0.1:{gateway.server.port}"
    consumer = await wsgw("consumer", "-u", url, "-t", "IN", *([] if token is None else ["--token", token]))
    assert await consumer.ended() == 1
    assert f"was closed with code {code}" in consumer.output


@pytest.mark.parametrize("token", ["", "a b", "a,b", "ä"])
async def test_what_can_be_no_token(wsgw: Any, token: str) -> None:
    consumer = await wsgw("consumer", "-u", "ws://127.0.0.1:1", "--token", token)
    assert await consumer.ended() == 2
    assert "Invalid value for '--token'" in consumer.output

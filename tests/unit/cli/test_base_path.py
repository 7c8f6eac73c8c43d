"""The command-line clients at a gateway that is asked below a path: it is part of the URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "ASK", "direction": "request", "timeout": "30s"},
]


@pytest.fixture
async def gateway(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url, channels=CHANNELS, base_path="/rt/v1") as made:
        yield made


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_consumer_and_producer(wsgw: Any, gateway: Running, peer: Peer, scheme: str, end: str) -> None:
    url = f"{scheme}://127.0.0.1:{gateway.server.port}/rt/v1{end}"
    heard = await peer.listen("OUT")
    consumer = await wsgw("consumer", "-u", url, "-t", "IN")
    await consumer.printed("Start listening")
    await peer.publish("IN", "hello")
    await consumer.printed('WS[IN] >> "hello"')
    assert await consumer.stop() == 0
    producer = await wsgw("producer", "-u", url, "-t", "OUT", "-m", "1")
    assert await producer.ended() == 0
    await eventually(lambda: heard == [b"1"], "published")


async def test_requests(wsgw: Any, gateway: Running, peer: Peer) -> None:
    await peer.answer("ASK", lambda payload: payload * 2)
    url = f"http://127.0.0.1:{gateway.server.port}/rt/v1"
    producer = await wsgw("producer", "-u", url, "-t", "ASK", "-m", "12", "-r")
    assert await producer.ended() == 0, producer.output
    assert "1212" in producer.output


@pytest.mark.parametrize("path", ["", "/rt", "/other"])
async def test_another_path(wsgw: Any, gateway: Running, path: str) -> None:
    """The answer is shown; over Socket.IO the library tells no more than that there was none."""
    url = f"ws://127.0.0.1:{gateway.server.port}{path}"
    consumer = await wsgw("consumer", "-u", url, "-t", "IN")
    assert await consumer.ended() == 1
    assert "HTTP 404" in consumer.output

"""A broker stops, whatever it is doing and whoever does not listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw import tasks
from wsgw.broker import connection
from wsgw.errors import (
    NATS_UNAVAILABLE,
    UNCONFIRMED,
    GatewayError,
)


async def test_a_stop_waits_for_what_is_in_flight(make_broker: Brokers, nats: NatsServer, peer: Peer) -> None:
    broker, metrics = await started(make_broker, nats.url)
    name = uuid4().hex
    got = await peer.listen(name)
    told: list[GatewayError | None] = []
    for _ in range(1000):
        broker.publish(name, [b"x"], told.append)
    await broker.stop(DEADLINE_SECONDS)
    assert told == [None] * 1000
    await arrived(got, 1000)
    assert not broker.connected
    assert value(metrics, "wsgw_nats_connected") == 0
    assert await publish(broker, name) is NATS_UNAVAILABLE
    await broker.stop(1)


async def test_a_stop_is_bounded(
    make_broker: Brokers, start_server: Callable[..., NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    broker, _ = await started(make_broker, server.url)
    server.freeze()
    told: list[GatewayError | None] = []
    broker.publish("a", [b"x"], told.append)
    async with asyncio.timeout(10):
        await broker.stop(0.1)
    assert [error.kind for error in told if error is not None] == [UNCONFIRMED]
    assert "not everything in flight was confirmed: no answer in time" in caplog.text


async def test_a_stop_while_connecting(make_broker: Brokers, start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    server.freeze()
    broker, _ = make_broker(server.url)
    await broker.start()
    await asyncio.sleep(0.05)  # the connection is being made; at no moment may the stop leave anything behind
    async with asyncio.timeout(10):
        await broker.stop(0.1)


async def test_a_stop_while_a_lost_connection_is_being_closed(
    make_broker: Brokers, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FENCE_INTERVAL_SECONDS", 1.0)
    monkeypatch.setattr(connection, "FENCE_TIMEOUT_SECONDS", 0.3)
    server = start_server()
    broker, _ = await started(make_broker, server.url)
    server.freeze()
    told: list[GatewayError | None] = []
    for _ in range(30):
        broker.publish("a", [bytes(256 * 1024)], told.append)
    await eventually(lambda: not broker.connected, "the loss is noticed")
    async with asyncio.timeout(10):
        await broker.stop(0.1)
    assert len(told) == 30


class TestDeafToCancellation:
    """Opening a connection swallows cancellations, as nats-py and asyncio.wait_for (3.11) do."""

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.1)

    async def test_once(
        self, make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And the connection is made all the same: it must not be left behind."""
        made: list[connection.NatsConnection] = []
        opened = connection.NatsConnection.open

        async def swallowing(self: connection.NatsConnection, *args: Any) -> None:
            made.append(self)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await opened(self, *args)

        monkeypatch.setattr(connection.NatsConnection, "open", swallowing)
        broker, _ = make_broker(nats.url)
        await broker.start()
        await eventually(lambda: made, "the attempt")
        async with asyncio.timeout(10):
            await broker.stop(0.1)
        assert made[0].lost.done()
        assert not broker.connected
        assert "cancelling it again" in caplog.text

    async def test_for_ever(
        self, make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        enough = asyncio.Event()
        trying = asyncio.Event()

        async def swallowing(self: connection.NatsConnection, *args: Any) -> None:
            trying.set()
            while not enough.is_set():
                with suppress(asyncio.CancelledError):
                    await enough.wait()
            raise asyncio.CancelledError

        monkeypatch.setattr(connection.NatsConnection, "open", swallowing)
        broker, _ = make_broker(nats.url)
        await broker.start()
        await asyncio.wait_for(trying.wait(), DEADLINE_SECONDS)
        try:
            async with asyncio.timeout(10):
                await broker.stop(0.1)
            assert "does not end" in caplog.text
        finally:
            enough.set()
        await eventually(lambda: broker._task is None or broker._task.done(), "the task's end")

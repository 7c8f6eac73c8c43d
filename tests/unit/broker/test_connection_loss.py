"""How a connection to NATS ends: killed, silent, full, or closed by us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from helpers.connection import Opened, kind, publish, subscribe
from helpers.nats_server import NatsServer
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.broker import connection as module
from wsgw.broker.connection import NatsConnection
from wsgw.broker.refusal import NeedsChange
from wsgw.broker.subscription import Credentials
from wsgw.errors import (
    NATS_UNAVAILABLE,
    UNCONFIRMED,
    GatewayError,
    Kind,
)
from wsgw.fanout.turn import Turn

from .conftest import FakeServer

pytestmark = pytest.mark.usefixtures("_bounded")


class TestLoss:
    async def test_the_server_is_killed(self, start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
        server = start_server()
        connection = await open_connection(server.url)
        subscription, _ = await subscribe(connection, "a")
        server.stop()
        assert await asyncio.wait_for(asyncio.shield(connection.lost), DEADLINE_SECONDS)
        assert kind(await publish(connection, "a")) is NATS_UNAVAILABLE
        with pytest.raises(GatewayError):
            await connection.barrier()
        assert subscription.ended.result().kind is NATS_UNAVAILABLE
        with pytest.raises(GatewayError) as caught:
            await subscribe(connection, "b")
        assert caught.value.kind is NATS_UNAVAILABLE
        with pytest.raises(GatewayError):
            await connection.request("a", b"", 1)

    @pytest.mark.parametrize("idle", [True, False])
    async def test_the_server_answers_no_more(
        self,
        start_server: Callable[..., NatsServer],
        open_connection: Opened,
        monkeypatch: pytest.MonkeyPatch,
        idle: bool,
    ) -> None:
        monkeypatch.setattr(module, "FENCE_TIMEOUT_SECONDS", 0.2)
        server = start_server()
        connection = await open_connection(server.url)
        server.freeze()
        if not idle:
            assert kind(await publish(connection, "a")) is UNCONFIRMED
        await asyncio.wait_for(asyncio.shield(connection.lost), DEADLINE_SECONDS)
        await asyncio.wait_for(connection.close(), 5)

    async def test_reading_that_is_held_is_no_silence(
        self, nats: NatsServer, open_connection: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FENCE_TIMEOUT_SECONDS", 0.1)
        monkeypatch.setattr(module, "FENCE_INTERVAL_SECONDS", 0.02)
        connection = await open_connection(nats.url)
        connection.hold()
        told = asyncio.ensure_future(publish(connection, "a"))
        started = asyncio.get_running_loop().time()
        await eventually(lambda: asyncio.get_running_loop().time() - started > 0.5, "many looks at the fence")
        assert not connection.lost.done()
        assert not told.done()
        connection.release()
        assert await told is None
        monkeypatch.setattr(module, "FENCE_LIMIT_SECONDS", 0.3)
        connection.hold()
        assert kind(await publish(connection, "a")) is UNCONFIRMED
        assert "did not answer" in connection.lost.result()

    async def test_closing_with_full_buffers(
        self, start_server: Callable[..., NatsServer], open_connection: Opened
    ) -> None:
        server = start_server()
        connection = await open_connection(server.url)
        server.freeze()
        told: list[Kind | None] = []
        for _ in range(40):
            connection.publish("a", [bytes(1024 * 1024)], lambda error: told.append(kind(error)))
        await asyncio.sleep(0)
        await asyncio.wait_for(connection.close(), 10)
        assert len(told) == 40
        assert set(told) <= {UNCONFIRMED, NATS_UNAVAILABLE}

    async def test_closing_fails_what_is_pending(self, connection: NatsConnection) -> None:
        told: list[Kind | None] = []
        connection.publish("a", [b""], lambda error: told.append(kind(error)))
        barrier = connection.barrier()
        await connection.close("enough")
        assert told == [UNCONFIRMED]
        with pytest.raises(GatewayError):
            await barrier
        assert connection.lost.result() == "enough"
        assert connection.in_flight == (0, 0)
        await connection.close()

    async def test_a_close_that_is_cancelled_closes_it(self, connection: NatsConnection) -> None:
        """A stop may come while one that was lost is closed."""
        stream = connection._client._stream
        assert stream is not None
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        assert stream._transport.is_closing()


async def test_a_user_that_ends_as_soon_as_it_is_let_in(
    fake_server: Callable[[bytes], Awaitable[FakeServer]],
) -> None:
    """It is as if it had not been let in: something has to be changed."""
    server = await fake_server(b"INFO {}\r\nPONG\r\n-ERR 'User Authentication Expired'\r\n")
    connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
    with pytest.raises(NeedsChange, match=r"^NATS says User Authentication Expired to the user 'a'"):
        await connection.open(server.url, Credentials("a", "b"), "test", 0.3)

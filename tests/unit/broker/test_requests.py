"""Requests of a connection to a real nats-server: replies, and all that comes instead of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.connection import Opened, subject
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived
from wsgw.broker.connection import NatsConnection
from wsgw.errors import (
    FORBIDDEN,
    NATS_UNAVAILABLE,
    NO_RESPONDERS,
    TIMEOUT,
    UNCONFIRMED,
    GatewayError,
)

pytestmark = pytest.mark.usefixtures("_bounded")


async def test_reply(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    await peer.answer(name, lambda payload: payload[::-1])
    assert await connection.request(name, b"abc\xff", 5) == b"\xffcba"
    asked = [b"%d" % number for number in range(10, 110)]
    replies = await asyncio.gather(*[connection.request(name, payload, 5) for payload in asked])
    assert replies == [payload[::-1] for payload in asked]
    assert len(connection._requests) == 0


async def test_no_responders(connection: NatsConnection) -> None:
    with pytest.raises(GatewayError) as caught:
        await connection.request(subject(), b"", 5)
    assert caught.value.kind is NO_RESPONDERS


async def test_timeout(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    await peer.listen(name)
    with pytest.raises(GatewayError, match=r"within 0\.05 s") as caught:
        await connection.request(name, b"", 0.05)
    assert caught.value.kind is TIMEOUT


async def test_forbidden_at_once(limited: NatsConnection) -> None:
    with pytest.raises(GatewayError, match=r"Denied\.x") as caught:
        await limited.request("Denied.x", b"", 60)
    assert caught.value.kind is FORBIDDEN


async def test_lost(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    server = start_server()
    connection = await open_connection(server.url)
    listener = await Peer.connect(server.url)
    got = await listener.listen("q")
    asking = asyncio.ensure_future(connection.request("q", b"", 60))
    await arrived(got, 1)
    await listener.close()
    server.stop()
    with pytest.raises(GatewayError) as caught:
        await asking
    assert caught.value.kind in (UNCONFIRMED, NATS_UNAVAILABLE)


async def test_cancelled(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    got = await peer.listen(name)
    asking = asyncio.ensure_future(connection.request(name, b"", 60))
    await arrived(got, 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(connection._requests) == 0

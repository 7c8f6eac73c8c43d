"""Publishing with headers to a real nats-server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.connection import Opened, kind, publish, subject
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived
from wsgw.broker.connection import NatsConnection
from wsgw.broker.headers import block_of, encode
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    NO_RESPONDERS,
    TOO_LARGE,
    GatewayError,
    Kind,
)
from wsgw.fanout.publication import Publication

pytestmark = pytest.mark.usefixtures("_bounded")


async def test_they_arrive(connection: NatsConnection, peer: Peer) -> None:
    name = subject() + ".100%d"
    got = await peer.messages(name)
    told: list[GatewayError | None] = []
    headers = {"Trace-Id": "100 %d é", "x": ""}
    connection.publish(name, [b"a", b"b%s", b""], told.append, headers)
    connection.publish(name, [b"c"], told.append)
    connection.publish(name, [b"d"], told.append, {})
    await connection.barrier()
    assert told == [None] * 3
    await arrived(got, 5)
    assert [message.data for message in got] == [b"a", b"b%s", b"", b"c", b"d"]
    assert [message.headers for message in got] == [headers, headers, headers, None, None]


async def test_repeated_ones(connection: NatsConnection) -> None:
    name = subject()
    got: list[Publication] = []
    await connection.subscribe(NatsSubscription(name, got.append))
    assert await publish(connection, name, b"x", {"a": ["1", "2"], "A": "3"}) is None
    await arrived(got, 1)
    assert dict(got[0].headers) == {"a": ("1", "2"), "A": ("3",)}


async def test_they_count(limited: NatsConnection) -> None:
    headers = {"A": "x" * 100}
    room = 2048 - len(encode(headers))
    limited.publish("ok.x", [b"", bytes(10)], lambda error: None, headers)
    assert limited.in_flight == (2, 10 + 2 * len(encode(headers)))
    assert await publish(limited, "ok.x", bytes(room), headers) is None
    error = await publish(limited, "ok.x", bytes(room + 1), headers)
    assert kind(error) is TOO_LARGE
    assert str(error) == f"the payload has {room + 1} bytes, NATS takes at most {room}"
    assert await publish(limited, "ok.x", bytes(2048)) is None
    assert limited.in_flight == (0, 0)


async def test_they_count_of_requests(limited: NatsConnection) -> None:
    headers = block_of({"A": "x" * 100})
    room = 2048 - len(headers.block)
    with pytest.raises(GatewayError) as caught:
        await limited.request("ok.x", bytes(room + 1), 5, headers)
    assert str(caught.value) == f"the payload has {room + 1} bytes, NATS takes at most {room}"
    with pytest.raises(GatewayError) as caught:
        await limited.request("ok.x", bytes(room), 5, headers)
    assert caught.value.kind is NO_RESPONDERS
    assert limited.in_flight == (0, 0)


async def test_a_block_that_was_made_before(connection: NatsConnection) -> None:
    name = subject()
    got: list[Publication] = []
    await connection.subscribe(NatsSubscription(name, got.append))
    assert await publish(connection, name, b"x", block_of({"a": "1", "b": ["2", "3"]})) is None
    await arrived(got, 1)
    assert dict(got[0].headers) == {"a": ("1",), "b": ("2", "3")}


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"a": "b\r\nPUB x 0"}, {"a:": "b"}, {"": "b"}])
async def test_what_is_none(connection: NatsConnection, headers: dict[str, str]) -> None:
    error = await publish(connection, subject(), b"x", headers)
    assert kind(error) is BAD_REQUEST
    assert connection.in_flight == (0, 0)
    assert await publish(connection, subject(), b"x") is None


async def test_a_refused_subject(limited: NatsConnection) -> None:
    told: list[Kind | None] = []
    for name in ("ok.1", "Denied.x", "ok.2"):
        limited.publish(name, [b""], lambda error: told.append(kind(error)), {"A": "b"})
    await limited.barrier()
    assert told == [None, FORBIDDEN, None]


async def test_a_server_that_takes_none(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    connection = await open_connection(start_server("no_header_support: true").url)
    error = await publish(connection, "a", b"x", {"A": "b"})
    assert kind(error) is FORBIDDEN
    assert "takes no messages with headers" in str(error)
    told: list[Kind | None] = []
    connection.publish_each("a", [("reply", encode({"A": "b"}), b"x")], lambda error: told.append(kind(error)))
    assert told == [FORBIDDEN]
    assert await publish(connection, "a", b"x") is None

"""What sessions may have by their connection, their user and their address, whatever they are spoken to by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.identities import Tokens
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, started
from helpers.stack import Listener
from helpers.waiting import arrived, eventually
from wsgw.access.principal import Principal
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import RATE_LIMITED, TOO_LARGE, TOO_MANY_CONNECTIONS, UNKNOWN_CHANNEL, GatewayError, LimitError
from wsgw.protocols.handshake import Handshake

HERE, THERE = "192.0.2.1", "192.0.2.2"


def principal(network: str | None = HERE, token: str | None = None) -> Principal:
    query = b"" if token is None else f"token={token}".encode()
    return Principal("websocket", Handshake("/", query, (), "ann", network))


async def opened(
    gateway: Gateway,
    network: str | None = HERE,
    token: str | None = None,
    client: Client | None = None,
    *,
    alone: bool = False,
) -> Session:
    """A session as a surface opens it."""
    who = principal(network, token)
    gateway.arrive(who, stays=not alone)
    try:
        if gateway.authenticator is not None:
            await gateway.identify(who, token)
        return gateway.open_session(who, None if alone else client or Client(), None if alone else Listener())
    finally:
        if not alone:
            gateway.arrived(who)


@pytest.fixture
async def tokens() -> Tokens:
    made = Tokens()
    for user in ("ann", "bob"):
        made.add(user, user, publish=[">"], subscribe=[">"])
    return made


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


def rejected(gateway: Gateway, reason: str) -> float:
    return value(gateway.metrics, "wsgw_rejected_total", reason=reason)


async def test_connections_of_an_address(nats: NatsServer) -> None:
    async with started(nats.url, limits={"address": {"connections": 2}}) as gateway:
        first, _ = await opened(gateway), await opened(gateway)
        with pytest.raises(LimitError) as refused:
            await opened(gateway)
        assert refused.value.kind is TOO_MANY_CONNECTIONS
        assert rejected(gateway, "too_many_connections") == 1
        await opened(gateway, THERE)
        await opened(gateway, None)
        for _ in range(2):
            first.end(1000)
        await opened(gateway)
        with pytest.raises(LimitError):
            await opened(gateway)


async def test_who_is_refused_otherwise_has_no_connection(nats: NatsServer, tokens: Tokens) -> None:
    limits = {"address": {"connections": 1}, "user": {"connections": 1}}
    async with started(nats.url, authenticator=tokens, limits=limits) as gateway:
        for _ in range(3):
            with pytest.raises(GatewayError, match="a token is needed"):
                await opened(gateway, token="unknown")
        session = await opened(gateway, token="ann")
        with pytest.raises(LimitError, match="this user has as many"):
            await opened(gateway, token="ann")
        session.end(1006)
        (await opened(gateway, token="ann")).end(1000)
        gateway.edge.seats.sweep()
        assert value(gateway.metrics, "wsgw_limited_names", scope="user") == 0
        assert value(gateway.metrics, "wsgw_limited_names", scope="address") == 0


async def test_connects(nats: NatsServer, tokens: Tokens) -> None:
    limits = {"address": {"connects_per_second": 0.01}, "burst": 200, "user": {"connects_per_second": 0.01}}
    async with started(nats.url, authenticator=tokens, limits=limits) as gateway:
        for _ in range(2):
            (await opened(gateway, token="ann")).end(1000)
        with pytest.raises(LimitError, match="this user has more connections in a second"):
            await opened(gateway, token="ann")
        (await opened(gateway, token="bob")).end(1000)  # one is left to the address, which the refused one took of
        with pytest.raises(GatewayError):
            await opened(gateway, token="unknown")
        with pytest.raises(LimitError, match="this address has more connections in a second"):
            await opened(gateway, token="bob")
        assert rejected(gateway, "rate_limited") == 2


async def test_a_user_is_not_refused_for_what_others_do_at_its_address(nats: NatsServer, tokens: Tokens) -> None:
    limits = {"address": {"connections": 1, "messages_per_second": 1}, "burst": 1}
    tokens.anonymous = tokens.add("anonymous", "nobody", publish=[">"], subscribe=[">"])
    async with started(nats.url, authenticator=tokens, limits=limits) as gateway:
        for _ in range(5):
            session = await opened(gateway, token="ann")
            assert not session.is_paced


async def test_a_client_that_cannot_be_told_is_held_back(nats: NatsServer, peer: Peer) -> None:
    """All of it arrives, but nothing is read of it until it is in time."""
    got = await peer.listen("OUT")
    async with started(nats.url, limits={"messages_per_second": 50, "burst": 1}) as gateway:
        client = Client()
        session = await opened(gateway, client=client)
        assert await outcome(session, "OUT", *[b"x"] * 50) is None
        assert client.calls == []
        begun = asyncio.get_running_loop().time()
        assert await outcome(session, "OUT", *[b"x"] * 10) is None
        assert client.calls == ["hold"]
        await eventually(lambda: client.calls == ["hold", "release"], "released")
        assert asyncio.get_running_loop().time() - begun > 0.1
        await arrived(got, 60)
        assert value(gateway.metrics, "wsgw_limited_total", scope="session", limit="messages") == 1
        session.end(1000)


async def test_who_wants_to_send_when_its_users_rates_are_used_up_is_held(nats: NatsServer, tokens: Tokens) -> None:
    limits = {"user": {"messages_per_second": 50}, "burst": 1}
    async with started(nats.url, authenticator=tokens, limits=limits) as gateway:
        clients = [Client() for _ in range(3)]
        first, second = [await opened(gateway, token="ann", client=client) for client in clients[:2]]
        assert second.is_in_time()
        assert clients[1].calls == []
        assert await outcome(first, "OUT", *[b"x"] * 60) is None
        third = await opened(gateway, token="ann", client=clients[2])
        assert not third.is_in_time()
        assert clients[2].calls == ["hold"]
        await eventually(lambda: clients[2].calls == ["hold", "release"], "released")
        assert third.is_in_time()
        other = await opened(gateway, token="bob", client=(bob := Client()))
        assert other.is_in_time()
        assert bob.calls == []
        for session in (first, second, third, other):
            session.end(1000)


async def test_messages_are_refused_where_that_can_be_told(nats: NatsServer) -> None:
    async with started(nats.url, limits={"messages_per_second": 1, "burst": 3}) as gateway:
        client = Client()
        session = await opened(gateway, client=client)
        assert [session.refuse("OUT", 1) is None for _ in range(4)] == [True, True, True, False]
        error = session.refuse("OUT", 1)
        assert error is not None
        assert error.kind is RATE_LIMITED
        assert value(gateway.metrics, "wsgw_publish_errors_total", channel="OUT", reason="rate_limited") == 2
        unknown = session.refuse("nowhere", 1)
        assert unknown is not None
        assert unknown.kind is UNKNOWN_CHANNEL
        assert session.refuse(None, 1) is not None
        assert value(gateway.metrics, "wsgw_publish_errors_total", channel="", reason="rate_limited") == 1
        assert await outcome_paid(session, b"x") is None
        assert client.calls == []
        session.end(1000)


async def outcome_paid(session: Session, payload: bytes) -> object:
    told: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    session.publish("OUT", [payload], told.set_result, paid=True)
    return await told


@pytest.mark.parametrize("by", ["user", "address"])
async def test_single_messages_count_with_those_of_connections(nats: NatsServer, tokens: Tokens, by: str) -> None:
    limits: dict[str, Any] = {by: {"messages_per_second": 0.01, "bytes_per_second": 1024}, "burst": 300}
    token = "ann" if by == "user" else None
    async with started(nats.url, authenticator=tokens if token else None, limits=limits) as gateway:
        session = await opened(gateway, token=token)
        assert session.refuse("OUT", 1) is None
        for _ in range(2):
            alone = await opened(gateway, token=token, alone=True)
            assert await outcome(alone, "OUT", b"x") is None
        with pytest.raises(LimitError, match=f"this {by} has more messages in a second"):
            await opened(gateway, token=token, alone=True)
        assert session.refuse("OUT", 1) is not None
        assert rejected(gateway, "rate_limited") == 1


async def test_bytes_of_single_messages(nats: NatsServer) -> None:
    limits = {"address": {"bytes_per_second": 1024}, "burst": 1}
    async with started(nats.url, limits=limits) as gateway:
        assert await outcome(await opened(gateway, alone=True), "OUT", b"x" * 1000) is None
        error = await outcome(await opened(gateway, alone=True), "OUT", b"x" * 100)
        assert error is not None
        assert error.kind is RATE_LIMITED
        session = await opened(gateway, alone=True)
        with pytest.raises(LimitError):
            session.request("SUM", b"x" * 100)
        assert value(gateway.metrics, "wsgw_publish_errors_total", channel="OUT", reason="rate_limited") == 1
        assert value(gateway.metrics, "wsgw_publish_errors_total", channel="SUM", reason="rate_limited") == 1
        assert await outcome(await opened(gateway, THERE, alone=True), "OUT", b"x" * 1000) is None


async def test_by_default_nothing_is_paced(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        for alone in (True, False):
            assert not (await opened(gateway, token="ann", alone=alone)).is_paced


async def test_the_size_of_a_message(nats: NatsServer) -> None:
    async with started(nats.url, limits={"message_bytes": 10}) as gateway:
        session = await opened(gateway)
        assert session.max_payload_bytes == gateway.max_payload_bytes == 10
        found = session.find("OUT")
        assert not isinstance(found, GatewayError)
        assert found.unchecked_bytes == 10
        found.check(b"x" * 10)
        with pytest.raises(GatewayError, match="11 bytes, at most 10 are taken of a client") as refused:
            found.check(b"x" * 11)
        assert refused.value.kind is TOO_LARGE
        session.end(1000)


async def test_where_it_is_more_than_nats_takes_that_counts(nats: NatsServer) -> None:
    async with started(nats.url, limits={"message_bytes": "500 MiB"}) as gateway:
        assert gateway.max_payload_bytes == 1024 * 1024
        session = await opened(gateway)
        found = session.find("OUT")
        assert not isinstance(found, GatewayError)
        with pytest.raises(GatewayError, match="NATS takes at most 1048575"):
            found.check(b"x" * 1024 * 1024, 1)
        session.end(1000)

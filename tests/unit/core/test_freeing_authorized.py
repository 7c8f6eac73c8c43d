"""Of a session whose client proved who it is, or that a service was asked about, nothing waits for the collector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from helpers.cycles import left_by
from helpers.deciding import Deciding
from helpers.identities import AUTH, Tokens
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, principal, started
from helpers.waiting import eventually
from wsgw.core import permits as permits_module
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import GatewayError
from wsgw.protocols.websocket.wire import WEBSOCKET_WIRE

EVERYTHING: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}


@pytest.fixture
async def deciding(nats: NatsServer) -> AsyncIterator[Deciding]:
    made = Deciding()
    await made.start(nats.url)
    yield made
    await made.close()


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("ann", "ann", **EVERYTHING)
    made.add("less", "ann", subscribe=["IN"])
    made.add("bob", "bob", **EVERYTHING)
    return made


@pytest.fixture
async def gateway(nats: NatsServer, tokens: Tokens, deciding: Deciding) -> AsyncIterator[Gateway]:
    channels = [
        {"name": "IN", "direction": "inbound"},
        {"name": "BOTH", "direction": "both"},
        {"name": "room.*", "direction": "both", **deciding.option},
        {"name": "SUM", "direction": "request", "subject": "math.sum", **deciding.option},
        {"name": "own", "direction": "both", "subject": "users.{sub}"},
    ]
    async with started(nats.url, channels=channels, authenticator=tokens, auth=AUTH) as made:
        yield made


@pytest.fixture
def rooms() -> Iterator[str]:
    """Names that nobody was asked about yet."""
    return (f"room.{number}" for number in count())


async def opened(gateway: Gateway, token: str = "ann") -> Session:
    who = principal()
    await gateway.identify(who, token)
    session = gateway.open_session(who, Client(), gateway.sender(WEBSOCKET_WIRE, print))
    session.open()
    return session


def end(session: Session, code: int) -> None:
    assert session.sender is not None
    session.sender.close()
    session.end(code)


async def joined(session: Session, name: str) -> None:
    ready = session.join(name)
    if ready is not None:
        await ready


async def test_a_refresh(gateway: Gateway, tokens: Tokens) -> None:
    async def life() -> None:
        session = await opened(gateway)
        for name in ("IN", "BOTH", "own"):
            await joined(session, name)
        session.listen()
        assert await outcome(session, "own") is None
        await session.refresh(tokens.identities["less"])
        assert session.names == ("IN",)
        assert await outcome(session, "own") is not None
        with suppress(GatewayError):
            session.join("own")
        with suppress(GatewayError):
            await session.refresh(tokens.identities["bob"])
        end(session, 1000)

    assert await left_by(life) == {}


async def test_the_end_of_its_time(gateway: Gateway, tokens: Tokens, rooms: Iterator[str]) -> None:
    async def life() -> None:
        tokens.add("short", "ann", seconds=0.05, **EVERYTHING)
        session = await opened(gateway, "short")
        for name in ("IN", next(rooms)):
            await joined(session, name)
        session.listen()
        session.expire()
        end(session, 4010)

    assert await left_by(life) == {}


async def test_a_join_that_is_allowed_and_then_denied(
    gateway: Gateway, deciding: Deciding, rooms: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits_module, "USUAL_SECONDS", 0.05)

    async def life() -> None:
        deciding.decide = lambda _: {"allow": True}
        session = await opened(gateway)
        for _ in range(2):
            await joined(session, next(rooms))
        session.listen()
        deciding.deny(info="no")
        await eventually(lambda: not session.names, "denied")
        with suppress(GatewayError):
            await joined(session, next(rooms))
        end(session, 1000)

    assert await left_by(life) == {}


async def test_one_that_goes_while_it_is_asked_about(
    gateway: Gateway, deciding: Deciding, rooms: Iterator[str]
) -> None:
    async def life() -> None:
        deciding.may_answer.clear()
        session = await opened(gateway)
        session.join(next(rooms))
        session.publish(next(rooms), [b"x"], lambda _: None)
        asking = session.request("SUM", b"1")
        await asyncio.sleep(0)
        end(session, 1006)
        deciding.may_answer.set()
        await asyncio.wait([asking])
        await eventually(lambda: not len(gateway.permits._asking), "answered")

    assert await left_by(life) == {}


async def test_what_is_sent(gateway: Gateway, deciding: Deciding, rooms: Iterator[str], nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload)

    async def life() -> None:
        for allow in (True, False):
            deciding.decide = lambda _, allow=allow: {"allow": allow}  # type: ignore[misc]
            session = await opened(gateway)
            assert (await outcome(session, next(rooms)) is None) is allow
            with suppress(GatewayError):
                await session.request("SUM", b"1")
            end(session, 1000)

    assert await left_by(life) == {}
    await peer.close()

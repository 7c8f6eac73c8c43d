"""Sessions of clients that proved who they are: what their rights cover, for as long as they last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.session import Client, outcome, principal, started
from helpers.waiting import eventually
from wsgw.access.identity import Identity
from wsgw.access.principal import Principal
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import GatewayError
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.websocket.wire import WEBSOCKET_WIRE

ALL = {"subscribe": [">"], "publish": [">"], "request": [">"]}


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("all", "ann", subscribe=[">"], publish=[">"], request=[">"])
    made.add("some", "ann", subscribe=["IN"], publish=["OUT"])
    made.add("bob", "bob", subscribe=[">"])
    return made


async def known(gateway: Gateway, tokens: Tokens, token: str) -> Principal:
    who = principal()
    await gateway.identify(who, token)
    assert who.identity is tokens.identities[token]
    return who


async def opened(gateway: Gateway, who: Principal, client: Client) -> tuple[Session, Sender]:
    sender = gateway.sender(WEBSOCKET_WIRE, lambda: None)
    session = gateway.open_session(who, client, sender)
    session.open()
    return session, sender


def close(*made: tuple[Session, Sender]) -> None:
    for session, sender in made:
        sender.close()
        session.end(1000)


async def test_nobody_is_let_in_who_was_not_identified(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        with pytest.raises(GatewayError) as refused:
            gateway.open_session(principal())
        assert refused.value.kind.name == "unauthenticated"
        assert gateway.open_session(await known(gateway, tokens, "all")).principal.user == "ann"


async def test_who_is_being_identified_when_the_gateway_stops(nats: NatsServer) -> None:
    """Whoever decides on it may take longer than the stop."""

    class Slow(Tokens):
        def identify(self, handshake: Handshake, token: str | None = None) -> Awaitable[Identity]:
            return finding

    finding: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
    async with started(nats.url, authenticator=Slow()) as gateway:
        identifying = asyncio.ensure_future(gateway.identify(principal()))
        await asyncio.sleep(0)
        await gateway.drain.run()
        assert not identifying.done()
        gateway.drain.give_up()
        with pytest.raises(GatewayError) as refused:
            await identifying
        assert refused.value.kind.name == "draining"
        assert finding.cancelled()
        assert gateway.drain._waiting == set()


async def test_the_end_of_its_time(nats: NatsServer, tokens: Tokens) -> None:
    """Nothing comes any more, and nothing can be had, however long it takes until its connection ends."""
    async with started(nats.url, authenticator=tokens) as gateway:
        tokens.add("short", "ann", seconds=0.2, subscribe=[">"], publish=[">"])
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "short"), client)
        session = made[0]
        session.join("IN")
        session.listen()
        assert await outcome(session, "OUT") is None
        await eventually(lambda: client.calls == ["token_expired"], "told, once")
        assert session.names == ()
        with pytest.raises(GatewayError) as refused:
            session.join("IN")
        assert refused.value.kind.name == "token_expired"
        error = await outcome(session, "OUT")
        assert error is not None
        assert error.kind.name == "token_expired"
        with pytest.raises(GatewayError) as late:
            gateway.open_session(session.principal)
        assert late.value.kind.name == "token_expired"
        close(made)
        assert len(gateway.expiries) == 0


async def test_before_it_is_told(nats: NatsServer, tokens: Tokens) -> None:
    """Thousands may end in the same second, and are told one by one; who has no client is not told at all."""
    async with started(nats.url, authenticator=tokens) as gateway:
        tokens.add("short", "ann", seconds=0.2, subscribe=[">"], publish=[">"])
        who = await known(gateway, tokens, "short")
        client = Client()
        made = await opened(gateway, who, client)
        alone = gateway.open_session(who)
        gateway.expiries.discard(made[0])
        await eventually(lambda: gateway.expiries.over(tokens.identities["short"].expires_at), "it is over")
        for session in (made[0], alone):
            error = await outcome(session, "OUT")
            assert error is not None
            assert error.kind.name == "token_expired"
        with pytest.raises(GatewayError) as refused:
            made[0].join("IN")
        assert refused.value.kind.name == "token_expired"
        assert made[0].inbound() == []
        close(made)


async def test_one_that_ends_before_knows_of_no_time(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        tokens.add("hour", "ann", seconds=3600, subscribe=[">"])
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "hour"), client)
        assert len(gateway.expiries) == 1
        close(made)
        assert len(gateway.expiries) == 0
        made[0].expire()
        assert client.calls == []


async def test_less_and_more(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "all"), client)
        session = made[0]
        for name in ("IN", "BOTH", "chat.1"):
            session.join(name)
        session.listen()
        assert await outcome(session, "BOTH") is None
        await session.refresh(tokens.identities["some"])
        assert session.names == ("IN",)
        assert client.removals == [("BOTH", "forbidden"), ("chat.1", "forbidden")]
        assert client.added == [[]]
        error = await outcome(session, "BOTH")
        assert error is not None
        assert error.kind.name == "forbidden"
        await session.refresh(tokens.identities["all"])
        assert client.added[1:] == [["BOTH", "chat.*"]]
        assert await outcome(session, "BOTH") is None
        close(made)


async def test_time_that_is_given(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        tokens.add("short", "ann", seconds=60, subscribe=[">"])
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "short"), client)
        later = tokens.add("later", "ann", seconds=120, subscribe=[">"])
        await made[0].refresh(later)
        assert [second > time.time() + 100 for second in gateway.expiries._due] == [True]
        close(made)


async def test_no_time_is_given_to_who_has_none_left(nats: NatsServer, tokens: Tokens) -> None:
    """Its connection ends when it is told of all that came of it: until then it would have its rights again."""
    async with started(nats.url, authenticator=tokens) as gateway:
        tokens.add("short", "ann", seconds=0.2, subscribe=[">"], publish=[">"])
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "short"), client)
        await eventually(lambda: client.calls == ["token_expired"], "told")
        with pytest.raises(GatewayError) as refused:
            await made[0].refresh(tokens.identities["all"])
        assert refused.value.kind.name == "token_expired"
        assert client.added == []
        assert len(gateway.expiries) == 0
        error = await outcome(made[0], "OUT")
        assert error is not None
        assert error.kind.name == "token_expired"
        close(made)


async def test_of_another_user(nats: NatsServer, tokens: Tokens) -> None:
    async with started(nats.url, authenticator=tokens) as gateway:
        client = Client()
        made = await opened(gateway, await known(gateway, tokens, "some"), client)
        with pytest.raises(GatewayError) as refused:
            await made[0].refresh(tokens.identities["bob"])
        assert refused.value.kind.name == "forbidden"
        assert made[0].principal.identity is tokens.identities["some"]
        close(made)

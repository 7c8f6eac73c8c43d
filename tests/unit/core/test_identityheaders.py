"""Headers with user and session: what they say, that nobody says more by them, and that all that is sent has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.identities import AUTH
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, principal, started
from helpers.stack import Listener
from helpers.tenants import CHANNELS, TableRules, identity
from helpers.waiting import DEADLINE_SECONDS, arrived
from wsgw.access.principal import Principal
from wsgw.access.rules import IdentityRules
from wsgw.broker.headers import parse
from wsgw.broker.puback import PublishResult, Stored
from wsgw.core.gateway import Gateway
from wsgw.core.identityheaders import MAX_USER_BYTES, IdentityHeaders, ids_of, new_session_id
from wsgw.core.session import Session
from wsgw.errors import FORBIDDEN, TOO_LARGE, GatewayError

BOTH = IdentityHeaders("Wsgw-User", "Wsgw-Session")


def said(user: str | None, headers: IdentityHeaders = BOTH) -> dict[str, tuple[str, ...]]:
    made = headers.of(user, "S1")
    return {} if made is None else dict(parse(made.block))


def test_what_they_say() -> None:
    assert said("ann") == {"Wsgw-User": ("ann",), "Wsgw-Session": ("S1",)}
    assert said("ann", IdentityHeaders(user="U")) == {"U": ("ann",)}
    assert said("ann", IdentityHeaders(session="S")) == {"S": ("S1",)}
    assert said("ann", IdentityHeaders()) == {}


@pytest.mark.parametrize("user", [None, ""])
def test_who_has_no_user_has_no_header(user: str | None) -> None:
    assert said(user) == {"Wsgw-Session": ("S1",)}
    assert said(user, IdentityHeaders(user="U")) == {}


def test_lines_are_those_of_the_block() -> None:
    made = BOTH.of("ann", "S1")
    assert made is not None
    assert made.block == b"NATS/1.0\r\n" + made.lines + b"\r\n"
    assert made.lines == b"Wsgw-User: ann\r\nWsgw-Session: S1\r\n"


#: As docs/configuration.md has them.
@pytest.mark.parametrize(
    ("user", "value"),
    [
        ("ann.lee+x@example.com", "ann.lee+x@example.com"),
        ("https://id.example/~7?a=ÿ>~", "https://id.example/~7?a=%C3%BF>~"),
        ("auth0|5f7", "auth0|5f7"),
        (" Ann Lee ", "%20Ann%20Lee%20"),
        ("100%", "100%25"),
        ("a\r\nWsgw-User: root", "a%0D%0AWsgw-User:%20root"),
    ],
)
def test_users_are_percent_encoded(user: str, value: str) -> None:
    assert said(user)["Wsgw-User"] == (value,)
    assert unquote(value) == user


@given(st.text(min_size=1, max_size=300))
@example("\r\nWsgw-User: root")
@example("\n\n")
@example("\ud800")
@example("\u00a0root")
@example("%0d%0a")
def test_no_user_says_more_than_its_name(user: str) -> None:
    made = said(user)
    assert set(made) == {"Wsgw-User", "Wsgw-Session"}
    (value,) = made["Wsgw-User"]
    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert unquote(value, errors="surrogatepass") == user


@pytest.mark.parametrize("user", ["x" * (MAX_USER_BYTES + 1), "ü" * MAX_USER_BYTES, "x" * 2_000_000])
def test_who_is_too_long(user: str) -> None:
    with pytest.raises(GatewayError) as caught:
        BOTH.of(user, "S1")
    assert caught.value.kind is FORBIDDEN
    assert said("x" * MAX_USER_BYTES)["Wsgw-User"] == ("x" * MAX_USER_BYTES,)


def test_ids_of_sessions() -> None:
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(id) == 16 and id.isalnum() for id in ids)


# -- on a gateway

HEADED = [
    *CHANNELS,
    {"name": "plain", "direction": "outbound"},
    {"name": "held", "direction": "both", "durable": True},
    {"name": "acts", "direction": "outbound", "hemera": {"topic": "acts", "cmd": "add"}},
    {"name": "act", "direction": "request", "hemera": {"topic": "act", "cmd": "add"}},
]


@pytest.fixture
async def gateway(jetstream: NatsServer) -> AsyncIterator[Gateway]:
    auth = {**AUTH, "identity_headers": {"user": "Wsgw-User", "session": "Wsgw-Session"}}
    async with started(jetstream.url, TableRules(), auth=auth, channels=HEADED) as made:
        assert made.identity_headers == BOTH
        yield made


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


def session_of(gateway: Gateway, token: str) -> Session:
    return gateway.open_session(principal(token), Client(), Listener())


async def store(session: Session, name: str, payload: bytes, id: str | None = None) -> list[object]:
    told: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
    session.publish(name, (payload,), told.set_result, (id,))
    result = await asyncio.wait_for(told, DEADLINE_SECONDS)
    assert isinstance(result, list)
    return [*result]


async def test_all_that_is_sent_has_them(gateway: Gateway, peer: Peer) -> None:
    heard = await peer.messages("*")
    for subject in ("t.acme.sum", "act"):
        await peer.answer(subject, lambda _: b'{"result":1}')
    asked = await peer.messages("t.acme.sum")
    rooms = await peer.messages("t.acme.room.1")
    ann, ada = session_of(gateway, "ann"), session_of(gateway, "ada")
    for one in (ann, ada):
        assert await outcome(one, "plain", b"1", b"2") is None
        assert await outcome(one, "room.1", b"3") is None
        assert await outcome(one, "acts", b"{}") is None
        assert await store(one, "held", b"4", f"id of {one.principal.user}".replace(" ", "-")) != []
        assert await store(one, "held", b"5") != []
        await one.request("sum", b"6")
        await one.request("act", b"{}")
    await arrived(heard, 12)
    await arrived(asked, 2)
    await arrived(rooms, 2)
    sessions = set()
    for message in (*heard, *asked, *rooms):
        assert message.headers is not None
        assert message.headers["Wsgw-User"] in ("ann", "ada")
        sessions.add((message.headers["Wsgw-User"], message.headers["Wsgw-Session"]))
    assert len(sessions) == 2, "one for each session"
    assert [message.data for message in heard[:2]] == [b"1", b"2"]
    ids = [message.headers.get("Nats-Msg-Id") for message in heard if message.subject == "held" and message.headers]
    assert f"{ids_of('ann')}id-of-ann" in ids
    assert None not in ids


async def test_a_stream_has_them_too(gateway: Gateway, peer: Peer) -> None:
    ann = session_of(gateway, "ann")
    assert await store(ann, "held", b"x", "a") == [Stored(1)]
    assert await store(ann, "held", b"x", "a") == [Stored(1, True)]
    message = await peer.nats.jetstream().get_msg("held", 1)
    assert message.headers is not None
    assert message.headers["Wsgw-User"] == "ann"
    assert message.headers["Nats-Msg-Id"] == f"{ids_of('ann')}a"


async def test_an_id_is_its_givers(gateway: Gateway, peer: Peer) -> None:
    """A stream knows ids whatever the subject: whoever guesses another's would have that one's message not stored."""
    nobody = session_of(gateway, "nobody")
    assert nobody.principal.user is None
    ann, ada = session_of(gateway, "ann"), session_of(gateway, "ada")
    assert await store(ada, "held", b"x", "a") == [Stored(1)]
    assert await store(nobody, "held", b"x", "a") == [Stored(2)]
    assert await store(nobody, "held", b"x", f"{ids_of('ann')}a") == [Stored(3)]
    assert await store(ann, "held", b"ann's", "a") == [Stored(4)]
    assert await store(session_of(gateway, "ann"), "held", b"again", "a") == [Stored(4, True)]
    assert await store(nobody, "held", b"x", "a") == [Stored(2, True)]


async def test_they_count_as_the_payloads_do(gateway: Gateway) -> None:
    ann = session_of(gateway, "ann")
    assert not isinstance(ann.find("plain"), GatewayError)
    room = ann.max_payload_bytes - ann.headers_bytes
    assert ann.headers_bytes > 40
    error = await outcome(ann, "plain", b"x" * (room + 1))
    assert error is not None
    assert error.kind is TOO_LARGE
    assert error.message == f"the payload has {room + 1} bytes, NATS takes at most {room}"
    assert await outcome(ann, "plain", b"x" * room) is None
    with pytest.raises(GatewayError) as caught:
        await ann.request("sum", b"x" * (room + 1))
    assert caught.value.kind is TOO_LARGE
    (receipt,) = await store(ann, "held", b"x" * room)
    assert isinstance(receipt, GatewayError)
    assert receipt.kind is TOO_LARGE


async def test_who_has_no_user(gateway: Gateway, peer: Peer) -> None:
    heard = await peer.messages("plain")
    assert await outcome(session_of(gateway, "nobody"), "plain", b"x") is None
    await arrived(heard, 1)
    assert set(heard[0].headers or {}) == {"Wsgw-Session"}


async def test_who_is_too_long_sends_nothing(gateway: Gateway, peer: Peer) -> None:
    heard = await peer.messages("plain")
    gateway.rules = IdentityRules()
    who: Principal = principal()
    who.identity = identity({"sub": "x" * 5000})
    session = gateway.open_session(who, Client(), Listener())
    error = await outcome(session, "plain", b"x")
    assert error is not None
    assert error.kind is FORBIDDEN
    await peer.fence()
    assert heard == []


async def test_without_them_nothing_has_any(jetstream: NatsServer, peer: Peer) -> None:
    heard = await peer.messages("plain")
    async with started(jetstream.url, TableRules(), auth=AUTH, channels=HEADED) as gateway:
        assert gateway.identity_headers is None
        ann = session_of(gateway, "ann")
        assert await outcome(ann, "plain", b"x") is None
        assert ann.headers_bytes == 0
    await arrived(heard, 1)
    assert heard[0].headers is None

"""Rights: every door of a session asks the gateway's one ``Rules`` object, and does what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, Except, outcome, principal, started
from helpers.stack import Listener
from wsgw.access.principal import Principal
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import Channel, Use
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import FORBIDDEN, GatewayError
from wsgw.protocols.handshake import Handshake

SUBSCRIBE, PUBLISH, REQUEST = Use.SUBSCRIBE, Use.PUBLISH, Use.REQUEST


@pytest.fixture
def rules() -> Except:
    return Except(
        ("ann", SUBSCRIBE, "IN"),
        ("ann", SUBSCRIBE, "chat.1"),
        ("ann", PUBLISH, "OUT"),
        ("ann", PUBLISH, "chat.2"),
        ("ann", REQUEST, "SUM"),
    )


@pytest.fixture
async def gateway(nats: NatsServer, rules: Except) -> AsyncIterator[Gateway]:
    async with started(nats.url, rules) as gateway:
        yield gateway


@pytest.fixture
def ann(gateway: Gateway) -> Session:
    return gateway.open_session(principal("ann"), Client(), Listener())


@pytest.fixture
def bob(gateway: Gateway) -> Session:
    return gateway.open_session(principal("bob"), Client(), Listener())


def refused(gateway: Gateway, channel: str) -> float:
    return value(gateway.metrics, "wsgw_publish_errors_total", channel=channel, reason="forbidden")


async def test_join(ann: Session, bob: Session, rules: Except) -> None:
    for name in ("IN", "chat.1"):
        with pytest.raises(GatewayError) as caught:
            ann.join(name)
        assert caught.value.kind is FORBIDDEN
        assert caught.value.message == f"this client may not subscribe to {name!r}"
        bob.join(name)
    ready = ann.join("chat.2")
    assert ready is not None
    await ready
    assert ann.names == ("chat.2",)
    assert rules.asked[:2] == [("ann", SUBSCRIBE, "IN", "IN"), ("bob", SUBSCRIBE, "IN", "IN")]
    assert ("ann", SUBSCRIBE, "chat.*", "chat.2") in rules.asked
    for session in (ann, bob):
        session.end(1000)


async def test_what_one_gets_who_asks_for_nothing(ann: Session, bob: Session) -> None:
    assert ann.inbound() == ["BOTH", "chat.*"]
    assert bob.inbound() == ["IN", "BOTH", "chat.*"]


async def test_publish(gateway: Gateway, ann: Session, bob: Session, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    out, rooms = await peer.listen("OUT"), await peer.listen("rooms.2")
    told: list[PublishResult] = []
    ann.publish("OUT", (b"x",), told.append)
    ann.publish("chat.2", (b"x",), told.append)
    assert [error.kind for error in told if isinstance(error, GatewayError)] == [FORBIDDEN, FORBIDDEN]
    assert str(told[0]) == "this client may not publish to 'OUT'"
    assert refused(gateway, "OUT") == refused(gateway, "chat.*") == 1
    assert await outcome(ann, "chat.3") is None
    assert await outcome(bob, "OUT", b"bob's") is None
    await peer.fence()
    assert (out, rooms) == ([b"bob's"], [])
    await peer.close()


async def test_request(gateway: Gateway, ann: Session, bob: Session, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload * 2)
    with pytest.raises(GatewayError) as caught:
        await ann.request("SUM", b"a")
    assert caught.value.kind is FORBIDDEN
    assert caught.value.message == "this client may not send requests to 'SUM'"
    assert refused(gateway, "SUM") == 1
    assert (await bob.request("SUM", b"a")).payload == b"aa"
    await peer.close()


async def test_where_messages_could_be_taken(ann: Session, bob: Session) -> None:
    names = ("OUT", "chat.2", "chat.3", "SUM")
    assert [name for name in names if ann.why_not_publish(name) is None] == ["chat.3"]
    assert [name for name in names if bob.why_not_publish(name) is None] == ["OUT", "chat.2", "chat.3"]


async def test_an_outlet_that_another_client_found(gateway: Gateway, ann: Session, bob: Session) -> None:
    assert await outcome(bob, "OUT") is None
    for _ in range(2):
        error = await outcome(ann, "OUT")
        assert error is not None
        assert error.kind is FORBIDDEN
        assert isinstance(ann.find("OUT"), GatewayError)
    assert refused(gateway, "OUT") == 4
    assert await outcome(ann, "OUT", b"a", b"b", b"c") is not None
    assert refused(gateway, "OUT") == 7


async def test_a_name_is_asked_for_once_until_another_one(bob: Session, rules: Except) -> None:
    for name in ("OUT", "OUT", "BOTH", "BOTH", "OUT"):
        assert await outcome(bob, name) is None
    assert [name for _, _, _, name in rules.asked] == ["OUT", "BOTH", "OUT"]


async def test_what_is_taken_back_meanwhile(bob: Session, rules: Except) -> None:
    assert await outcome(bob, "OUT") is None
    rules.denied.add(("bob", PUBLISH, "OUT"))
    assert await outcome(bob, "BOTH") is None
    error = await outcome(bob, "OUT")
    assert error is not None
    assert error.kind is FORBIDDEN
    assert await outcome(bob, "BOTH") is None


async def test_a_refusal_does_not_spoil_the_name_before_it(ann: Session) -> None:
    assert await outcome(ann, "BOTH") is None
    assert await outcome(ann, "OUT") is not None
    assert await outcome(ann, "BOTH") is None
    assert await outcome(ann, "OUT") is not None


async def test_rules_take_what_they_need_from_the_handshake(nats: NatsServer) -> None:
    class ByToken:
        """``t`` may do all, ``x`` nothing, others may not come."""

        def admit(self, principal: Principal) -> None:
            assert principal.handshake is not None
            principal.grant = principal.handshake.query.get("token")
            if principal.grant not in ("t", "x"):
                raise GatewayError(FORBIDDEN, "who are you?")

        def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
            return principal.grant == "t"

    async with started(nats.url, ByToken()) as gateway:
        for query, names in ((b"token=t", ["IN", "BOTH", "chat.*"]), (b"token=x", [])):
            session = gateway.open_session(came(query), Client(), Listener())
            assert session.inbound() == names
            session.open()  # the handshake is forgotten
            error = await outcome(session, "OUT")
            assert (error is None) is bool(names)
        with pytest.raises(GatewayError):
            gateway.open_session(came(b""), Client(), Listener())
        assert value(gateway.metrics, "wsgw_rejected_total", reason="forbidden") == 1


def came(query: bytes) -> Principal:
    return Principal("websocket", Handshake("/ws/IN", query, (), ""))

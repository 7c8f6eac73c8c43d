"""A session's life: join, listen, open, end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.running import Running, running
from helpers.stack import Listener, PlainWire
from helpers.waiting import eventually
from wsgw.core.session import Session
from wsgw.errors import UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError
from wsgw.fanout.publication import Publication


class Someone:
    """What a drain would close."""

    def drain(self) -> None: ...

    def abort(self) -> None: ...


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url) as made:
        yield made


class Made:
    def __init__(self, served: Running) -> None:
        self.sender = Listener()
        self.refused: list[tuple[str, str]] = []
        self.session = Session(
            served.gateway,
            PlainWire(),
            lambda name, error: self.refused.append((name, error.kind.name)),
            self.sender,
        )


@pytest.fixture
def made(served: Running) -> Made:
    return Made(served)


async def test_life(served: Running, made: Made) -> None:
    session, hub = made.session, served.gateway.hub
    assert session.join("IN") is None
    ready = session.join("chat.1")
    assert ready is not None
    await ready
    assert session.join("chat.1") is None
    assert session.names == ("IN", "chat.1")
    hub.publish("IN", Publication("IN", b"before listen", 0.0))
    session.listen()
    session.listen()
    hub.publish("IN", Publication("IN", b"1", 0.0))
    hub.publish("chat.1", Publication("rooms.1", b"2", 0.0))
    hub.flush()
    assert made.sender.payloads == [b"1", b"2"]
    client = Someone()
    session.open(client)
    assert served.value("wsgw_connections", transport="websocket") == 1
    for code in (4321, 1000):
        session.end(client, code)
    assert served.value("wsgw_connections", transport="websocket") == 0
    assert served.value("wsgw_closes_total", code="other") == 1
    assert served.value("wsgw_closes_total", code="1000") == 0
    assert not session.names
    assert not hub.has("IN")


async def test_unsubscribe(served: Running, made: Made) -> None:
    made.session.join("IN")
    assert made.session.unsubscribe("IN")
    assert not made.session.unsubscribe("IN")
    made.session.join("IN")
    made.session.listen()
    assert made.session.unsubscribe("IN")
    assert not served.gateway.hub.has("IN")
    assert served.value("wsgw_subscriptions", channel="IN") == 0


async def test_two_senders_share_a_channel(served: Running) -> None:
    one, two = Made(served), Made(served)
    for each in (one, two):
        each.session.join("IN")
        each.session.listen()
    assert served.value("wsgw_subscriptions", channel="IN") == 2
    one.session.unsubscribe("IN")
    assert served.gateway.hub.has("IN")
    two.session.unsubscribe("IN")


async def test_refusals(made: Made) -> None:
    for name, kind in (("NOPE", UNKNOWN_CHANNEL), ("OUT", WRONG_DIRECTION)):
        with pytest.raises(GatewayError) as caught:
            made.session.join(name)
        assert caught.value.kind is kind
    assert made.session.names == ()


async def test_nats_refuses(served: Running, made: Made) -> None:
    made.session.join("chat.1")
    made.session.listen()
    error = GatewayError(UNKNOWN_CHANNEL, "no")
    bridge = served.gateway._bridges["chat.*"]
    await eventually(lambda: bridge._interests["chat.1"].subscription, "subscribed")  # type: ignore[attr-defined]
    bridge._interests["chat.1"].subscription.end(error)  # type: ignore[attr-defined]
    await eventually(lambda: made.refused, "the session is told")
    assert made.refused == [("chat.1", "unknown_channel")]
    assert made.session.names == ()
    assert not served.gateway.hub.has("chat.1")

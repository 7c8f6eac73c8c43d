"""A session's life: join, listen, open, end; and what it sends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from helpers.fanout import no_overflow, publication
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, principal, started
from helpers.stack import PLAIN, Listener
from helpers.waiting import arrived, eventually
from wsgw.broker import broker as broker_module
from wsgw.broker.puback import PublishResult
from wsgw.core import backpressure
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import (
    NO_RESPONDERS,
    TOO_LARGE,
    UNCONFIRMED,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    GatewayError,
)


class Made:
    """A session, its client and its sender."""

    def __init__(self, gateway: Gateway, name: str = "ann") -> None:
        self.sender = Listener()
        self.client = Client()
        self.session: Session = gateway.open_session(principal(name), self.client, self.sender)


@pytest.fixture
def made(gateway: Gateway) -> Made:
    return Made(gateway)


def errors(gateway: Gateway, channel: str, reason: str) -> float:
    return value(gateway.metrics, "wsgw_publish_errors_total", channel=channel, reason=reason)


def subscriptions(gateway: Gateway, channel: str) -> float:
    return value(gateway.metrics, "wsgw_subscriptions", channel=channel)


async def test_life(gateway: Gateway, made: Made) -> None:
    session, hub = made.session, gateway.hub
    assert session.join("IN") is None
    ready = session.join("chat.1")
    assert ready is not None
    await ready
    assert session.join("chat.1") is None
    assert session.names == ("IN", "chat.1")
    hub.publish("IN", publication(b"before listen"))
    session.listen()
    session.listen()
    hub.publish("IN", publication(b"1"))
    hub.publish("chat.1", publication(b"2"))
    hub.flush()
    assert made.sender.payloads == [b"1", b"2"]
    session.open()
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 1
    for code in (4321, 1000):
        session.end(code)
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 0
    assert value(gateway.metrics, "wsgw_closes_total", code="other") == 1
    assert value(gateway.metrics, "wsgw_closes_total", code="1000") == 0
    assert not session.names
    hub.publish("IN", publication(b"after the end"))
    hub.flush()
    assert made.sender.payloads == [b"1", b"2"]
    assert subscriptions(gateway, "IN") == subscriptions(gateway, "chat.*") == 0


async def test_the_log_has_who_comes_and_goes(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "wsgw.session"):
        ann, bob = Made(gateway, "192.0.2.1"), Made(gateway, "192.0.2.2")
        ann.session.join("IN")
        for each in (ann, bob):
            each.session.open()
        for code in (1000, 1001):
            ann.session.end(code)
        Made(gateway, "192.0.2.3").session.end(1000)
    assert [line for line in caplog.messages if "192.0.2" in line] == [
        "websocket 192.0.2.1: connected, receives IN",
        "websocket 192.0.2.2: connected, receives nothing",
        "websocket 192.0.2.1: closed with 1000",
    ]


async def test_what_has_ended_does_not_begin_again(gateway: Gateway, made: Made) -> None:
    made.session.join("IN")
    made.session.end(4008)
    assert made.session.join("IN") is None
    made.session.listen()
    made.session.open()
    hub_publishes_to_nobody = made.sender.payloads
    gateway.hub.publish("IN", publication(b"late"))
    gateway.hub.flush()
    assert (made.session.names, hub_publishes_to_nobody) == ((), [])
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 0
    await gateway.drain.run()
    assert made.client.calls == []


async def test_one_that_was_never_open_is_not_counted(gateway: Gateway, made: Made) -> None:
    made.session.join("IN")
    made.session.end(1000)
    assert made.session.names == ()
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 0
    assert value(gateway.metrics, "wsgw_closes_total", code="1000") == 0


async def test_the_gateways_stop_reaches_its_client(gateway: Gateway, made: Made) -> None:
    made.session.open()
    asyncio.get_running_loop().call_soon(made.session.end, 1001)
    await gateway.drain.run()
    assert made.client.calls == ["drain"]
    assert value(gateway.metrics, "wsgw_closes_total", code="1001") == 1


async def test_the_handshake_is_forgotten_when_it_is_open(made: Made) -> None:
    assert made.session.principal.handshake is not None
    made.session.open()
    assert made.session.principal.handshake is None
    assert str(made.session.principal) == "websocket ann"
    made.session.end(1000)


async def test_reject(gateway: Gateway, made: Made) -> None:
    made.session.reject(GatewayError(WRONG_DIRECTION, "no"))
    assert value(gateway.metrics, "wsgw_rejected_total", reason="wrong_direction") == 1


async def test_unsubscribe(gateway: Gateway, made: Made) -> None:
    made.session.join("IN")
    assert made.session.unsubscribe("IN")
    assert not made.session.unsubscribe("IN")
    made.session.join("IN")
    made.session.listen()
    assert subscriptions(gateway, "IN") == 1
    assert made.session.unsubscribe("IN")
    assert subscriptions(gateway, "IN") == 0
    gateway.hub.publish("IN", publication(b"x"))
    gateway.hub.flush()
    assert made.sender.payloads == []


async def test_two_senders_share_a_channel(gateway: Gateway) -> None:
    one, two = Made(gateway), Made(gateway, "bob")
    for each in (one, two):
        each.session.join("IN")
        each.session.listen()
    assert subscriptions(gateway, "IN") == 2
    one.session.unsubscribe("IN")
    gateway.hub.publish("IN", publication(b"x"))
    gateway.hub.flush()
    assert (one.sender.payloads, two.sender.payloads) == ([], [b"x"])
    two.session.unsubscribe("IN")
    assert subscriptions(gateway, "IN") == 0


async def test_every_inbound_channel(made: Made) -> None:
    assert made.session.inbound() == ["IN", "BOTH", "chat.*"]


async def test_refusals(made: Made) -> None:
    for name, kind in (("NOPE", UNKNOWN_CHANNEL), ("OUT", WRONG_DIRECTION)):
        with pytest.raises(GatewayError) as caught:
            made.session.join(name)
        assert caught.value.kind is kind
    assert made.session.names == ()


async def test_nats_refuses(gateway: Gateway, made: Made) -> None:
    made.session.join("chat.1")
    made.session.listen()
    error = GatewayError(UNKNOWN_CHANNEL, "no")
    bridge = gateway.bridges._bridges["chat.*"]
    await eventually(lambda: bridge._interests["chat.1"].subscription, "subscribed")  # type: ignore[attr-defined]
    bridge._interests["chat.1"].subscription.end(error)  # type: ignore[attr-defined]
    await eventually(lambda: made.client.refusals, "the client is told")
    assert made.client.refusals == [("chat.1", "unknown_channel")]
    assert made.session.names == ()
    assert subscriptions(gateway, "chat.*") == 0


async def test_a_slow_client(nats: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    """Its sender tells the session; what was dropped is counted once, where it was dropped."""
    channels = [{"name": "IN", "direction": "inbound", "outbox": {"messages": 5}}]
    async with started(nats.url, channels=channels) as gateway:
        sender = gateway.sender(PLAIN, no_overflow)
        session = gateway.open_session(principal(), Client(), sender)
        session.join("IN")
        session.listen()
        with caplog.at_level(logging.DEBUG, "wsgw.session"):
            for _ in range(3):
                for _ in range(4):
                    gateway.hub.publish("IN", publication(b"x"))
                gateway.hub.flush()
        assert value(gateway.metrics, "wsgw_dropped_messages_total", channel="IN", policy="drop_oldest") == 7
        assert caplog.text.count("websocket ann: a slow client, publications of IN are dropped") == 1
        assert len(sender.take(100, 1000)) == 5
        assert value(gateway.metrics, "wsgw_deliveries_total", channel="IN", transport="websocket") == 5
        session.end(1000)


async def test_where_messages_could_be_taken(made: Made) -> None:
    names = ("OUT", "BOTH", "chat.1", "IN", "SUM", "NOPE", "chat.*")
    assert [name for name in names if made.session.why_not_publish(name) is None] == ["OUT", "BOTH", "chat.1"]


async def test_publish(gateway: Gateway, made: Made, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("OUT")
    assert await outcome(made.session, "OUT", b"a", b"b") is None
    assert await outcome(made.session, "chat.1") is None
    assert await outcome(made.session, "OUT", b"c") is None
    await arrived(heard, 3)
    assert heard == [b"a", b"b", b"c"]
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="OUT", transport="websocket") == 3
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="chat.*", transport="websocket") == 1
    assert value(gateway.metrics, "wsgw_publish_seconds_count", channel="OUT") == 2
    await peer.close()


async def test_refused_publishes_are_told_at_once_and_counted(gateway: Gateway, made: Made) -> None:
    told: list[PublishResult] = []
    for name, size in (("NOPE", 0), ("IN", 0), ("SUM", 0), ("chat.*", 0), ("OUT", gateway.max_payload_bytes + 1)):
        made.session.publish(name, (bytes(size),), told.append)
    kinds = [error.kind for error in told if isinstance(error, GatewayError)]
    assert kinds == [UNKNOWN_CHANNEL, WRONG_DIRECTION, WRONG_DIRECTION, UNKNOWN_CHANNEL, TOO_LARGE]
    for channel, reason in (
        ("", "unknown_channel"),
        ("IN", "wrong_direction"),
        ("SUM", "wrong_direction"),
        ("chat.*", "unknown_channel"),
        ("OUT", "too_large"),
    ):
        assert errors(gateway, channel, reason) == 1
    assert made.session.unsettled == 0


async def test_refused_publishes_are_counted_by_messages(gateway: Gateway, made: Made) -> None:
    """As they are where NATS refuses them."""
    for name, channel, reason in (
        ("NOPE", "", "unknown_channel"),
        ("IN", "IN", "wrong_direction"),
        ("SUM", "SUM", "wrong_direction"),
    ):
        assert await outcome(made.session, name, b"a", b"b", b"c") is not None
        assert errors(gateway, channel, reason) == 3


async def test_request(gateway: Gateway, made: Made, nats: NatsServer) -> None:
    with pytest.raises(GatewayError) as caught:
        await made.session.request("SUM", b"")
    assert caught.value.kind is NO_RESPONDERS
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload * 2)
    assert (await made.session.request("SUM", b"ab")).payload == b"abab"
    assert value(gateway.metrics, "wsgw_request_seconds_count", channel="SUM") == 1
    for name, kind, label in (("OUT", WRONG_DIRECTION, "OUT"), ("NOPE", UNKNOWN_CHANNEL, "")):
        with pytest.raises(GatewayError) as caught:
            await made.session.request(name, b"")
        assert caught.value.kind is kind
        assert errors(gateway, label, kind.name) == 1
    await peer.close()


async def test_a_name_that_was_asked_is_not_published_to(made: Made) -> None:
    """What the session keeps of a name is for its one use."""
    with pytest.raises(GatewayError):
        await made.session.request("SUM", b"")
    told: list[PublishResult] = []
    made.session.publish("SUM", (b"x",), told.append)
    assert [error.kind for error in told if isinstance(error, GatewayError)] == [WRONG_DIRECTION]
    assert await outcome(made.session, "OUT") is None
    with pytest.raises(GatewayError) as caught:
        await made.session.request("OUT", b"")
    assert caught.value.kind is WRONG_DIRECTION


async def test_unless_stopped(gateway: Gateway, made: Made) -> None:
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(gateway.drain.give_up)
    with pytest.raises(GatewayError) as caught:
        await made.session.unless_stopped(never)
    assert caught.value.kind is UNCONFIRMED


class TestBackPressure:
    async def test_a_client_with_much_out_is_held(
        self, made: Made, monkeypatch: pytest.MonkeyPatch, nats: NatsServer
    ) -> None:
        monkeypatch.setattr(backpressure, "MAX_UNSETTLED_MESSAGES", 10)
        told: list[PublishResult] = []
        for _ in range(5):
            made.session.publish("OUT", [b"x"] * 2, told.append)
        assert (made.client.calls, made.session.unsettled) == ([], 10)
        made.session.publish("OUT", (b"x",), told.append)
        assert (made.client.calls, made.session.unsettled) == (["hold"], 11)
        await arrived(told, 6)
        assert made.client.calls == ["hold", "release"]
        assert made.session.unsettled == 0

    async def test_by_bytes(self, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backpressure, "MAX_UNSETTLED_BYTES", 100)
        told: list[PublishResult] = []
        made.session.publish("OUT", (bytes(100),), told.append)
        assert made.client.calls == []
        made.session.publish("OUT", (b"x",), told.append)
        assert made.client.calls == ["hold"]
        await eventually(lambda: made.client.calls == ["hold", "release"], "released")

    async def test_names_do_not_divide_it(self, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backpressure, "MAX_UNSETTLED_MESSAGES", 3)
        told: list[PublishResult] = []
        for name in ("OUT", "BOTH", "chat.1", "chat.2"):
            made.session.publish(name, (b"x",), told.append)
        assert made.client.calls == ["hold"]
        await arrived(told, 4)
        assert made.client.calls == ["hold", "release"]

    async def test_what_is_refused_does_not_count(self, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backpressure, "MAX_UNSETTLED_MESSAGES", 0)
        told: list[PublishResult] = []
        for name in ("NOPE", "IN", "SUM"):
            made.session.publish(name, [b"x"] * 5, told.append)
        assert (len(told), made.client.calls, made.session.unsettled) == (3, [], 0)

    async def test_all_who_publish_are_held_for_what_all_of_them_sent(
        self, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broker_module, "MAX_IN_FLIGHT_MESSAGES", 10)
        server = start_server()
        async with started(server.url) as gateway:
            busy, brief, reader = Made(gateway), Made(gateway, "bob"), Made(gateway, "eve")
            assert await outcome(brief.session, "OUT") is None
            told: list[PublishResult] = []
            server.freeze()
            busy.session.publish("OUT", [b"x"] * 11, told.append)
            late = Made(gateway, "joe")
            late.session.publish("OUT", (b"x",), told.append)
            assert [each.client.calls for each in (busy, brief, reader, late)] == [["hold"], ["hold"], [], ["hold"]]
            brief.session.end(1000)
            server.thaw()
            await arrived(told, 2)
            assert told == [None, None]
            assert [each.client.calls for each in (busy, brief, reader, late)] == [
                ["hold", "release"],
                ["hold"],
                [],
                ["hold", "release"],
            ]

    async def test_a_request_that_comes_alone_has_nobody_to_hold(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backpressure, "MAX_UNSETTLED_MESSAGES", 1)
        session = gateway.open_session(principal(transport="http"))
        assert await outcome(session, "OUT", *[b"x"] * 5) is None
        assert session.unsettled == 0
        assert value(gateway.metrics, "wsgw_published_messages_total", channel="OUT", transport="http") == 5

"""Other channels for a gateway that runs: what sessions, names, bridges and metrics come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from helpers.fanout import publication
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.reload import channels_but, reload_to
from helpers.session import Client, Except, outcome, principal, started
from helpers.stack import Listener
from helpers.waiting import arrived, eventually
from wsgw.channels.channel import SlowConsumer, Use
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import DRAINING, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError


class Made:
    """A session that listens to ``names``, with its client and its sender."""

    def __init__(self, gateway: Gateway, *names: str) -> None:
        self.sender = Listener()
        self.client = Client()
        self.session: Session = gateway.open_session(principal(), self.client, self.sender)
        self._waiting = [waiting for name in names if (waiting := self.session.join(name)) is not None]
        self.session.listen()

    async def subscribed(self) -> None:
        """Returns when its subscriptions are in effect."""
        for waiting in self._waiting:
            await waiting

    @property
    def payloads(self) -> list[bytes]:
        return self.sender.payloads


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


async def ready(gateway: Gateway) -> None:
    await eventually(lambda: not gateway.readiness().bridges, "all are subscribed")


async def test_an_added_channel(gateway: Gateway, peer: Peer) -> None:
    told = Made(gateway)
    changes = await reload_to(gateway, channels_but({"NEW": {"direction": "both", "subject": "new"}}))
    assert [channel.name for channel in changes.added] == ["NEW"]
    assert told.client.added == [["NEW"]]
    assert gateway.readiness().ready
    assert 'wsgw_deliveries_total{channel="NEW",transport="sse"} 0.0' in gateway.metrics.exposition().decode()
    await ready(gateway)
    client = Made(gateway, "NEW")
    await peer.publish("new", b"1")
    await arrived(client.payloads, 1)
    assert await outcome(client.session, "NEW", b"2") is None
    await arrived(client.payloads, 2)
    assert value(gateway.metrics, "wsgw_deliveries_total", channel="NEW", transport="websocket") == 2


async def test_a_removed_channel(gateway: Gateway, peer: Peer) -> None:
    client, other = Made(gateway, "IN", "BOTH"), Made(gateway, "BOTH")
    gateway.hub.publish("IN", publication(b"before"))
    await reload_to(gateway, channels_but({"IN": None}))
    assert client.payloads == [b"before"]
    assert (client.client.removals, other.client.removals) == ([("IN", "unknown_channel")], [])
    assert client.session.names == ("BOTH",)
    await peer.publish("IN", b"after")
    await peer.publish("BOTH", b"1")
    await arrived(client.payloads, 2)
    assert client.payloads[1:] == other.payloads == [b"1"]
    with pytest.raises(GatewayError) as caught:
        client.session.join("IN")
    assert caught.value.kind is UNKNOWN_CHANNEL
    assert "IN" not in gateway.readiness().bridges
    assert value(gateway.metrics, "wsgw_subscriptions", channel="IN") == 0


async def test_a_channel_of_another_subject(gateway: Gateway, peer: Peer) -> None:
    client, late = Made(gateway, "IN"), Made(gateway)
    await reload_to(gateway, channels_but({"IN": {"subject": "elsewhere"}}))
    assert client.client.removals == [("IN", "channel_changed")]
    assert (client.client.added, late.client.added) == ([[]], [[]])
    late.session.join("IN")
    late.session.listen()
    await ready(gateway)
    await peer.publish("IN", b"old")
    await peer.publish("elsewhere", b"new")
    await arrived(late.payloads, 1)
    assert (late.payloads, client.payloads) == ([b"new"], [])


async def test_options_that_are_taken_over(gateway: Gateway, peer: Peer) -> None:
    client = Made(gateway, "IN")
    before = gateway.bridge_of(gateway.channels.find("IN", Use.SUBSCRIBE))
    changes = await reload_to(gateway, channels_but({"IN": {"slow_consumer": "disconnect", "outbox": {"messages": 2}}}))
    assert [channel.name for channel in changes.adjusted] == ["IN"]
    channel = gateway.channels.find("IN", Use.SUBSCRIBE)
    assert (channel.slow_consumer, channel.outbox_messages) == (SlowConsumer.DISCONNECT, 2)
    assert gateway.bridge_of(channel) is before
    assert before.channel is channel
    assert (client.client.removals, client.client.added) == ([], [])
    await peer.publish("IN", b"1")
    await arrived(client.payloads, 1)
    (audience,) = gateway.hub._audiences["IN"]
    assert audience.deliveries.channel is channel
    dropped = 'wsgw_dropped_messages_total{channel="IN",policy="disconnect"}'
    assert dropped in gateway.metrics.exposition().decode()


async def test_who_sends_is_led_elsewhere_at_once(gateway: Gateway, peer: Peer) -> None:
    got = await peer.listen("out.>")
    await peer.fence()
    client = Made(gateway)
    assert await outcome(client.session, "OUT", b"0") is None
    changing = asyncio.ensure_future(reload_to(gateway, channels_but({"OUT": {"subject": "out.new"}})))
    await asyncio.sleep(0)
    told = outcome(client.session, "OUT", b"1")
    assert await told is None
    await changing
    await arrived(got, 1)
    assert got == [b"1"]
    await reload_to(gateway, channels_but({"OUT": None}))
    error = await outcome(client.session, "OUT", b"2")
    assert error is not None
    assert error.kind is UNKNOWN_CHANNEL
    await reload_to(gateway, channels_but({"OUT": {"direction": "inbound"}}))
    error = await outcome(client.session, "OUT", b"3")
    assert error is not None
    assert error.kind is WRONG_DIRECTION


async def test_a_request_channels_timeout(gateway: Gateway, peer: Peer) -> None:
    await peer.listen("math.sum")  # answers nothing
    client = Made(gateway)
    with pytest.raises(GatewayError, match=r"0\.5"):
        await client.session.request("SUM", b"?")
    await reload_to(gateway, channels_but({"SUM": {"timeout": "50ms"}}))
    with pytest.raises(GatewayError, match=r"0\.05"):
        await client.session.request("SUM", b"?")


async def test_names_of_a_pattern_that_get_a_channel_of_their_own(gateway: Gateway, peer: Peer) -> None:
    """And lose it again. Nobody gets the same from both."""
    vip, other, every = Made(gateway, "chat.vip"), Made(gateway, "chat.2"), Made(gateway, "chat.*")
    for made in (vip, other, every):
        await made.subscribed()
    await reload_to(gateway, channels_but({"chat.vip": {"direction": "inbound", "subject": "rooms.vip"}}))
    assert [made.client.removals for made in (vip, other, every)] == [[("chat.vip", "channel_changed")], [], []]
    vip.session.join("chat.vip")
    vip.session.listen()
    await ready(gateway)
    await peer.publish("rooms.vip", b"1")
    await peer.publish("rooms.2", b"2")
    await arrived(every.payloads, 2)
    await arrived(other.payloads, 1)
    await arrived(vip.payloads, 1)
    assert (vip.payloads, other.payloads, every.payloads) == ([b"1"], [b"2"], [b"1", b"2"])
    assert value(gateway.metrics, "wsgw_deliveries_total", channel="chat.vip", transport="websocket") == 1
    assert value(gateway.metrics, "wsgw_subscriptions", channel="chat.*") == 2
    await reload_to(gateway, channels_but({}))
    assert vip.client.removals == [("chat.vip", "channel_changed")] * 2
    waiting = vip.session.join("chat.vip")
    if waiting is not None:
        await waiting
    vip.session.listen()
    await peer.publish("rooms.vip", b"3")
    await arrived(vip.payloads, 2)
    assert vip.payloads == [b"1", b"3"]
    assert value(gateway.metrics, "wsgw_subscriptions", channel="chat.*") == 3


async def test_a_pattern_that_is_removed(gateway: Gateway, peer: Peer) -> None:
    client = Made(gateway, "chat.1", "chat.*", "IN")
    await reload_to(gateway, channels_but({"chat.*": None}))
    assert sorted(client.client.removals) == [("chat.*", "unknown_channel"), ("chat.1", "unknown_channel")]
    await peer.publish("rooms.1", b"x")
    await peer.publish("IN", b"1")
    await arrived(client.payloads, 1)
    assert client.payloads == [b"1"]
    assert "wsgw_subjects{" not in gateway.metrics.exposition().decode()


async def test_rights_are_asked_for_anew(nats: NatsServer) -> None:
    rules = Except()
    async with started(nats.url, rules) as gateway:
        client = Made(gateway, "IN")
        rules.denied.add(("ann", Use.SUBSCRIBE, "IN"))
        await reload_to(gateway, channels_but({"IN": {"payload": "json"}}))
        assert client.client.removals == [("IN", "forbidden")]


async def test_who_joined_and_does_not_listen_yet(gateway: Gateway) -> None:
    sender, client = Listener(), Client()
    session = gateway.open_session(principal(), client, sender)
    waiting = session.join("chat.1")
    await reload_to(gateway, channels_but({"chat.*": None}))
    assert client.removals == [("chat.1", "unknown_channel")]
    if waiting is not None:
        await waiting
    session.listen()
    session.end(1000)


async def test_who_ended_is_told_nothing(gateway: Gateway) -> None:
    client = Made(gateway, "IN")
    client.session.end(1000)
    await reload_to(gateway, channels_but({"IN": None}))
    assert (client.client.removals, client.client.added) == ([], [])
    assert not gateway.sessions


async def test_one_clients_fault_is_not_anothers(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    clients = [Made(gateway, "IN") for _ in range(3)]

    def fail(name: str, error: GatewayError) -> None:
        raise RuntimeError("a fault")

    clients[1].client.removed = fail  # type: ignore[method-assign]
    await reload_to(gateway, channels_but({"IN": None}))
    assert [made.client.removals for made in clients] == [[("IN", "unknown_channel")], [], [("IN", "unknown_channel")]]
    assert "telling a client that channels have changed failed" in caplog.text


async def test_nothing_changes_while_it_stops(gateway: Gateway) -> None:
    client = Made(gateway, "IN")
    gateway.drain.begin()
    assert not await reload_to(gateway, [])
    assert client.client.removals == []
    with pytest.raises(GatewayError) as caught:
        gateway.open_session(principal())
    assert caught.value.kind is DRAINING
    assert gateway.channels.find("IN", Use.SUBSCRIBE)


async def test_the_same_channels_are_no_change(gateway: Gateway) -> None:
    client, table = Made(gateway, "IN"), gateway.channels
    assert not await reload_to(gateway, channels_but({}))
    assert gateway.channels is table
    assert client.client.added == []


async def test_a_channel_that_comes_back_counts_on(gateway: Gateway, peer: Peer) -> None:
    refreshing = len(gateway.metrics.on_read)
    for count in (1, 2):
        client = Made(gateway, "IN")
        await ready(gateway)
        await peer.publish("IN", b"x")
        await arrived(client.payloads, 1)
        assert value(gateway.metrics, "wsgw_deliveries_total", channel="IN", transport="websocket") == count
        assert value(gateway.metrics, "wsgw_nats_messages_total", channel="IN") == count
        await reload_to(gateway, channels_but({"IN": None}))
        await reload_to(gateway, channels_but({}))
        assert len(gateway.metrics.on_read) == refreshing


async def test_many_clients_are_told_in_turn_with_others_work(gateway: Gateway) -> None:
    clients = [Made(gateway, "IN") for _ in range(3000)]
    ticks = 0
    changing = asyncio.ensure_future(reload_to(gateway, channels_but({"IN": None})))
    while not changing.done():
        ticks += 1
        await asyncio.sleep(0)
    assert ticks > 3
    assert all(made.client.removals for made in clients)

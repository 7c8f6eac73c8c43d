"""Sessions of two tenants on channels whose subjects claims fill: what each gets, sends, asks, and comes back to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from helpers.identities import AUTH
from helpers.interest import interest, nats_has
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import outcome, started
from helpers.tenants import CHANNELS, TableRules, Tenant, identity
from helpers.waiting import eventually
from wsgw.channels.channel import Use
from wsgw.channels.template import key_of
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.core.gateway import Gateway
from wsgw.core.reload import reload
from wsgw.errors import FORBIDDEN, GatewayError


@pytest.fixture
async def gateway(nats: NatsServer) -> AsyncIterator[Gateway]:
    async with started(nats.url, TableRules(), auth=AUTH, channels=CHANNELS) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


async def test_a_fixed_name(gateway: Gateway, peer: Peer) -> None:
    ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
    for one in (ann, bob):
        await one.join("inbox", "mail")
    await peer.publish("users.ann.inbox", "a")
    await peer.publish("users.bob.inbox", "b")
    await peer.publish("users.*.inbox", "to nobody")
    await peer.publish("mail.eed34b2afb69f46f380ddc0b104e8d7f3cc7c01d86cd177166b8541d9ab0cbc8", "to nobody")
    await peer.fence()
    await eventually(lambda: ann.payloads == [b"a"] and bob.payloads == [b"b"], "each has its own")
    assert value(gateway.metrics, "wsgw_subscriptions", channel="inbox") == 2
    assert value(gateway.metrics, "wsgw_subjects", channel="inbox") == 2


@pytest.mark.parametrize("name", ["room.1\0acme", "room.1\0acme\0blue", "\0acme", "sum\0acme"])
async def test_a_key_is_no_name(gateway: Gateway, peer: Peer, name: str) -> None:
    """What another tenant's names are kept under leads nowhere, whoever says it."""
    heard = await peer.messages("t.>")
    ann, bob = (Tenant(gateway, token) for token in ("ann", "bob"))
    for own in ("room.1", "room.2"):
        assert await outcome(ann.session, own) is None
    for use in (Use.PUBLISH, Use.REQUEST):
        error = bob.session.find(name, use)
        assert isinstance(error, GatewayError)
        assert error.kind.name == "unknown_channel"
    with pytest.raises(GatewayError):
        bob.session.join(name)
    await peer.fence()
    assert [message.subject for message in heard] == ["t.acme.room.1", "t.acme.room.2"]


async def test_who_shares_a_tenant_shares_a_subscription(gateway: Gateway, peer: Peer) -> None:
    ann, ada, bob = (Tenant(gateway, token) for token in ("ann", "ada", "bob"))
    for one in (ann, ada, bob):
        await one.join("room.1")
    assert value(gateway.metrics, "wsgw_subjects", channel="room.*") == 2
    await peer.publish("t.acme.room.1", "a")
    await peer.publish("t.blue.room.1", "b")
    await eventually(lambda: ann.payloads == ada.payloads == [b"a"], "of acme")
    await eventually(lambda: bob.payloads == [b"b"], "of blue")
    for one in (ann, ada, bob):
        one.session.end(1000)


async def test_a_wildcard_is_of_the_own_tenant_only(gateway: Gateway, peer: Peer, nats: NatsServer) -> None:
    ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
    await ann.join("room.*", "room.1")
    await bob.join("room.*")
    await nats_has(nats, {"t.acme.room.*": 1, "t.acme.room.1": 1, "t.blue.room.*": 1})
    assert not {"t.*.room.*", "t.*.room.1"} & set(interest(nats))
    await peer.publish("t.acme.room.1", "1")
    await peer.publish("t.acme.room.2", "2")
    await peer.publish("t.blue.room.1", "3")
    await eventually(lambda: sorted(ann.payloads) == [b"1", b"1", b"2"], "once for each name")
    await eventually(lambda: bob.payloads == [b"3"], "its own")
    assert ann.session.unsubscribe("room.1")
    await peer.publish("t.acme.room.1", "4")
    await eventually(lambda: ann.payloads[3:] == [b"4"], "by the wildcard")


async def test_publishing(gateway: Gateway, peer: Peer) -> None:
    heard = [*await asyncio.gather(peer.messages("t.>"), peer.messages("users.>"))]
    ann, ada, bob = (Tenant(gateway, token) for token in ("ann", "ada", "bob"))
    for one, name, payload in ((ann, "room.1", b"a"), (bob, "room.1", b"b"), (ada, "out", b"c"), (bob, "out", b"d")):
        assert await outcome(one.session, name, payload) is None
    await eventually(lambda: [len(messages) for messages in heard] == [2, 2], "they came")
    assert [[(message.subject, message.data) for message in messages] for messages in heard] == [
        [("t.acme.room.1", b"a"), ("t.blue.room.1", b"b")],
        [("users.ada.out", b"c"), ("users.bob.out", b"d")],
    ]
    error = await outcome(ann.session, "room.*", b"x")
    assert error is not None
    assert error.kind.name == "unknown_channel"


async def test_requests(gateway: Gateway, peer: Peer) -> None:
    await peer.answer("t.acme.sum", lambda payload: b"acme:" + payload)
    await peer.answer("t.blue.sum", lambda payload: b"blue:" + payload)
    ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
    replies = [(await one.session.request("sum", b"1")).payload for one in (ann, bob, ann)]
    assert replies == [b"acme:1", b"blue:1", b"acme:1"]


async def test_outlets_are_shared_by_who_has_the_same_claims(gateway: Gateway) -> None:
    ann, ada, bob = (Tenant(gateway, token).session for token in ("ann", "ada", "bob"))
    found = [one.find("room.1") for one in (ann, ada, bob)]
    assert found[0] is found[1]
    assert found[0] is not found[2]
    assert found[0] is ann.find("room.1")


async def test_who_has_no_claims(gateway: Gateway, peer: Peer) -> None:
    heard = await peer.messages(">")
    nobody = Tenant(gateway, "nobody")
    for name in ("inbox", "mail", "room.1", "room.*"):
        with pytest.raises(GatewayError) as caught:
            nobody.session.join(name)
        assert caught.value.kind is FORBIDDEN
    for name in ("room.1", "out"):
        error = await outcome(nobody.session, name, b"x")
        assert error is not None
        assert error.kind is FORBIDDEN
        why = nobody.session.why_not_publish(name)
        assert why is not None
        assert why.message == error.message
        assert "there is no claim" in why.message
    with pytest.raises(GatewayError) as caught:
        nobody.session.request("sum", b"x")
    assert caught.value.kind is FORBIDDEN
    assert nobody.session.inbound() == ["news"]
    assert Tenant(gateway, "ann").session.inbound() == ["inbox", "mail", "room.*", "news"]
    assert nobody.session.names == ()
    await peer.fence()
    assert [message for message in heard if not message.subject.startswith("_INBOX")] == []
    assert value(gateway.metrics, "wsgw_publish_errors_total", channel="out", reason="forbidden") == 1


async def test_gaps_are_told_by_name(gateway: Gateway, nats: NatsServer) -> None:
    ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
    await ann.join("inbox", "room.1", "news")
    await bob.join("inbox")
    assert gateway.broker._connection is not None
    gateway.broker._connection._lose("for a test")
    await eventually(lambda: bool(ann.client.gaps and bob.client.gaps), "they are told")
    told = ["inbox", "news", "room.1"]
    await eventually(lambda: sorted(name for names in ann.client.gaps for name in names) == told, "of all names")
    assert bob.client.gaps == [["inbox"]]


async def test_a_gap_of_one_tenant_is_not_told_to_others(gateway: Gateway) -> None:
    ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
    for one in (ann, bob):
        await one.join("room.1", "inbox")
    gap = gateway.hub.new_gap(frozenset({key_of("room.1", ("acme",))}))
    for one in (ann, bob):
        one.session.gapped("room.1", gap)
    assert (ann.client.gaps, bob.client.gaps) == ([["room.1"]], [])


async def test_who_leaves_leaves_nothing(gateway: Gateway, nats: NatsServer) -> None:
    ann = Tenant(gateway, "ann")
    await ann.join("inbox", "room.1", "room.*")
    held = ann.session.held_bytes()
    assert held > 0
    assert value(gateway.metrics, "wsgw_subjects", channel="room.*") == 2
    for name in ("inbox", "room.1"):
        assert ann.session.unsubscribe(name)
    assert 0 < ann.session.held_bytes() < held
    assert value(gateway.metrics, "wsgw_subjects", channel="inbox") == 0
    assert value(gateway.metrics, "wsgw_subjects", channel="room.*") == 1
    ann.session.end(1000)
    assert ann.session.held_bytes() == 0
    assert value(gateway.metrics, "wsgw_subjects", channel="room.*") == 0
    assert value(gateway.metrics, "wsgw_subscriptions", channel="room.*") == 0


async def test_the_names_of_a_client_are_bounded(nats: NatsServer) -> None:
    limits = {"session_names": 1}
    async with started(nats.url, TableRules(), auth=AUTH, channels=CHANNELS, limits=limits) as gateway:
        ann = Tenant(gateway, "ann")
        await ann.join("inbox", "news")
        with pytest.raises(GatewayError) as caught:
            await ann.join("mail")
        assert caught.value.kind.name == "too_many_subjects"


async def test_the_subjects_of_a_channel_are_bounded(nats: NatsServer) -> None:
    async with started(nats.url, TableRules(), auth=AUTH, channels=CHANNELS, max_subjects=1) as gateway:
        await Tenant(gateway, "ann").join("inbox")
        with pytest.raises(GatewayError) as caught:
            await Tenant(gateway, "bob").join("inbox")
        assert caught.value.kind.name == "too_many_subjects"


async def test_another_template(gateway: Gateway, peer: Peer, nats: NatsServer) -> None:
    ann = Tenant(gateway, "ann")
    await ann.join("inbox", "news")
    expected: list[bytes] = []
    for subject, moved in (("users.inbox", "users.inbox"), ("u2.{sub}.inbox", "u2.ann.inbox")):
        other = [{**one, "subject": subject} if one["name"] == "inbox" else one for one in CHANNELS]
        file = ConfigFile("test", {"channels": other, "auth": AUTH})
        changes = await reload(gateway, load({}, {}, file).channel_table())
        assert [channel.name for channel in changes.restarted] == ["inbox"]
        assert ann.client.removals == [("inbox", "channel_changed")]
        ann.client.removals.clear()
        await ann.join("inbox")
        await nats_has(nats, {moved: 1})
        await peer.publish("users.ann.inbox", "old")
        await peer.publish(moved, subject)
        expected.append(subject.encode())
        await eventually(lambda: ann.payloads == expected, "what comes now")


async def test_other_claims_at_a_refresh(gateway: Gateway, peer: Peer) -> None:
    """What was of one tenant ends, though names and rights are as before; what is sent goes to the other one's."""
    heard = [*await asyncio.gather(peer.messages("t.acme.room.1"), peer.messages("t.blue.room.1"))]
    ann = Tenant(gateway, "ann")
    await ann.join("inbox", "room.1", "room.*", "news")
    assert await outcome(ann.session, "room.1", b"1") is None
    await eventually(lambda: ann.payloads == [b"1", b"1"], "by both names")
    await ann.session.refresh(identity({"sub": "ann", "tenant": "blue"}))
    assert sorted(ann.client.removals) == [("room.*", "channel_changed"), ("room.1", "channel_changed")]
    assert sorted(ann.session.names) == ["inbox", "news"]
    assert await outcome(ann.session, "room.1", b"2") is None
    await peer.publish("t.acme.room.1", "3")
    await ann.join("room.1")
    await peer.publish("t.acme.room.1", "4")
    await peer.publish("t.blue.room.1", "5")
    await eventually(lambda: ann.payloads[2:] == [b"5"], "nothing of acme's any more")
    await eventually(lambda: [len(messages) for messages in heard] == [3, 2], "all came")
    assert [message.data for message in heard[1]] == [b"2", b"5"]
    await ann.session.refresh(identity({"sub": "ann", "tenant": ">"}))
    assert ann.client.removals[2:] == [("room.1", "forbidden")]


# -- durable

"""Sessions of two tenants on durable channels whose subjects claims fill: what each gets, and comes back to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.identities import AUTH
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import started
from helpers.tenants import DURABLE, TableRules, Tenant
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.bridges.place import Coming
from wsgw.broker.puback import PublishResult, Stored
from wsgw.channels import position
from wsgw.channels.start import Start
from wsgw.core.gateway import Gateway
from wsgw.core.identityheaders import ids_of
from wsgw.core.session import Session


@pytest.fixture
async def durable(jetstream: NatsServer) -> AsyncIterator[Gateway]:
    async with started(jetstream.url, TableRules(), auth=AUTH, channels=DURABLE) as made:
        yield made


@pytest.fixture
async def keeper(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


def settled(session: Session, name: str, *payloads: bytes, ids: tuple[str, ...] = ()) -> asyncio.Future[PublishResult]:
    told: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
    session.publish(name, payloads, told.set_result, ids)
    return told


async def stored(session: Session, name: str, *payloads: bytes, ids: tuple[str, ...] = ()) -> list[Any]:
    result = await asyncio.wait_for(settled(session, name, *payloads, ids=ids), DEADLINE_SECONDS)
    assert isinstance(result, list), result
    return result


async def test_one_stream_and_one_consumer_for_all(durable: Gateway, keeper: Peer) -> None:
    ann, ada, bob = (Tenant(durable, token) for token in ("ann", "ada", "bob"))
    for one in (ann, ada, bob):
        await one.join("orders", "log.1")
    await ann.join("log.*")
    assert (await stored(ann.session, "orders", b"a"))[0] == Stored(1)
    assert (await stored(bob.session, "orders", b"b"))[0] == Stored(2)
    await keeper.store("t.acme.log.1", "1")
    await keeper.store("t.acme.log.2", "2")
    await keeper.store("t.blue.log.1", "3")
    await eventually(lambda: sorted(ann.payloads) == [b"1", b"1", b"2", b"a"], "ann has what is acme's")
    await eventually(lambda: sorted(ada.payloads) == [b"1", b"a"], "ada, too")
    await eventually(lambda: sorted(bob.payloads) == [b"3", b"b"], "bob has what is blue's")
    for stream, subject in (("ORDERS", "t.*.orders"), ("LOG", "t.*.log.*")):
        info = await keeper.nats.jetstream().stream_info(stream)
        assert info.config.subjects == [subject]
        assert info.state.consumer_count == 1


async def test_names_of_a_more_specific_channel(jetstream: NatsServer, keeper: Peer) -> None:
    """The stream of the pattern brings what comes to their subjects; it is for who named the pattern only."""
    vip = {"name": "log.vip", "direction": "inbound", "subject": "vip.{tenant}"}
    async with started(jetstream.url, TableRules(), auth=AUTH, channels=[*DURABLE, vip]) as gateway:
        ann, ada = Tenant(gateway, "ann"), Tenant(gateway, "ada")
        await ann.join("log.vip")
        await ada.join("log.*")
        await keeper.store("t.acme.log.vip", "1")
        await eventually(lambda: ada.payloads == [b"1"], "by the pattern")
        await keeper.publish("vip.acme", "2")
        await eventually(lambda: ann.payloads == [b"2"], "by its own channel")


@pytest.mark.parametrize("name", ["orders", "log.1", "log.*"])
@pytest.mark.parametrize("from_stream", [False, True])
async def test_replay_is_of_the_own_tenant(jetstream: NatsServer, keeper: Peer, name: str, from_stream: bool) -> None:
    """By what the gateway has kept, and by reads of the stream."""
    subjects = [f"t.{tenant}.{name.replace('*', '1')}" for tenant in ("acme", "blue")]

    async def store() -> None:
        for number in range(30):
            await keeper.store(subjects[number % 2], number)

    async with started(jetstream.url, TableRules(), auth=AUTH, channels=DURABLE):  # makes the streams
        if from_stream:
            await store()
    async with started(jetstream.url, TableRules(), auth=AUTH, channels=DURABLE) as gateway:
        if not from_stream:
            await store()
        for _ in range(2):
            ann, bob = Tenant(gateway, "ann"), Tenant(gateway, "bob")
            await ann.join(name, start=Start(since_seconds=3600))
            await bob.join(name, start=Start(since_seconds=3600))
            await eventually(lambda: len(ann.payloads) == len(bob.payloads) == 15, "all of it")  # noqa: B023
            assert ann.payloads == [b"%d" % number for number in range(0, 30, 2)]
            assert bob.payloads == [b"%d" % number for number in range(1, 30, 2)]


def after(text: str) -> Start:
    return Start(after=position.parse(text))


@pytest.mark.parametrize("name", ["orders", "log.1", "log.*"])
async def test_a_position_is_of_the_own_tenant(durable: Gateway, keeper: Peer, name: str) -> None:
    subjects = [f"t.{tenant}.{name.replace('*', '1')}" for tenant in ("acme", "blue")]
    ann = Tenant(durable, "ann")
    await ann.join(name)
    await eventually(lambda: bool(ann.client.places), "it knows where it stands")
    _, place = ann.client.places[0]
    for number in range(10):
        await keeper.store(subjects[number % 2], number)
    await eventually(lambda: ann.payloads == [b"0", b"2", b"4", b"6", b"8"], "its own")
    back, other = Tenant(durable, "ada"), Tenant(durable, "bob")
    await back.join(name, start=after(place.id))
    await eventually(lambda: back.payloads == ann.payloads, "who is of the tenant gets what came since")
    assert [place.coming for _, place in back.client.places] == [Coming.RECOVERED]
    await other.join(name, start=after(place.id))
    await eventually(lambda: bool(other.client.places), "it is told")
    assert [place.coming for _, place in other.client.places] == [Coming.GAP]
    _, theirs = other.client.places[0]
    assert theirs.identity != place.identity
    await keeper.store(subjects[1], "own")
    await eventually(lambda: other.payloads == [b"own"], "and nothing of before")
    assert [name for name, _ in other.client.places] == [name]


async def test_the_position_of_the_whole_stream_says_nothing(durable: Gateway, keeper: Peer) -> None:
    await keeper.store("t.acme.orders", "1")
    bridge = durable.bridge_of(durable.channels.inbound()[0])
    await eventually(lambda: bridge.history is not None and bridge.history.last == 1, "it came")  # type: ignore[attr-defined]
    ann = Tenant(durable, "ann")
    identity = bridge.history.identity  # type: ignore[attr-defined]
    await ann.join("orders", start=Start(after={identity: 0}))
    await eventually(lambda: bool(ann.client.places), "it is told")
    assert [place.coming for _, place in ann.client.places] == [Coming.GAP]
    assert ann.payloads == []


async def test_ids_are_of_the_own_tenant(durable: Gateway, keeper: Peer) -> None:
    """Who knows another tenant's ids could else have its messages taken for repeats."""
    heard = await keeper.messages("t.*.orders")
    ann, bob = Tenant(durable, "ann"), Tenant(durable, "bob")
    for one, payload, sequence in ((ann, b"a", 1), (bob, b"b", 2), (ann, b"c", 1)):
        (receipt,) = await stored(one.session, "orders", payload, ids=("order-1",))
        assert isinstance(receipt, Stored)
        assert receipt.sequence == sequence
    info = await keeper.nats.jetstream().stream_info("ORDERS")
    assert info.state.messages == 2
    givers = (("ann", b"acme"), ("bob", b"blue"), ("ann", b"acme"))
    prefixes = [f"{ids_of(user)}{hashlib.sha256(tenant).hexdigest()[:32]}:" for user, tenant in givers]
    await eventually(lambda: len(heard) == 3, "they were published")
    assert [(message.headers or {})["Nats-Msg-Id"] for message in heard] == [f"{prefix}order-1" for prefix in prefixes]

"""From one connection to another, of two servers of a cluster, while messages come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from urllib.request import urlopen

import pytest

from helpers.connection import Opened, publish, subject, subscribe
from helpers.nats_cluster import pair, wanted
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.traffic import Traffic
from helpers.waiting import arrived, eventually
from wsgw.broker import handover as module
from wsgw.broker import twins
from wsgw.broker.connection import NatsConnection
from wsgw.broker.handover import Handover
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE, OVERLOADED, GatewayError
from wsgw.fanout.publication import Publication

PREFIX = "_INBOX"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(module, "OVERLAP_SECONDS", 0.8)


async def routed(*servers: NatsServer) -> None:
    """Returns when each has a route to the other."""

    def routes(server: NatsServer) -> int:
        with urlopen(f"{server.monitoring}/varz") as answer:
            return int(json.load(answer)["routes"])

    for server in servers:
        await eventually(lambda: routes(server), "a route")  # noqa: B023


@pytest.fixture
async def servers(start_server: Callable[..., NatsServer]) -> tuple[NatsServer, NatsServer]:
    made = pair(start_server)
    await routed(*made)
    return made


@pytest.fixture
async def old(servers: tuple[NatsServer, NatsServer], open_connection: Opened) -> NatsConnection:
    return await open_connection(servers[0].url)


@pytest.fixture
async def new(servers: tuple[NatsServer, NatsServer], open_connection: Opened) -> NatsConnection:
    return await open_connection(servers[1].url)


@pytest.fixture
async def peers(servers: tuple[NatsServer, NatsServer]) -> AsyncIterator[list[Peer]]:
    """One on each server."""
    made = [await Peer.connect(server.url, allow_reconnect=False) for server in servers]
    yield made
    for peer in made:
        await peer.close()


async def hand_over(old: NatsConnection, new: NatsConnection) -> None:
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    handover.switch()
    await handover.finish()


async def test_nothing_is_lost_doubled_or_reordered(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    name = subject()
    subscription, got = await subscribe(old, name)
    await wanted(servers[1], name)
    traffic = Traffic(name, peers)
    traffic.start()
    await arrived(got, 10)
    await hand_over(old, new)
    assert old.lost.done()
    before = len(got)
    await arrived(got, before + 10)
    await traffic.stop()
    await eventually(lambda: traffic.missing(got) == 0, "all of it")
    assert not subscription.ended.done()
    assert not new.lost.done()


async def test_equal_messages_are_as_many_as_were_sent(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    name = subject()
    _, got = await subscribe(old, name)
    await wanted(servers[1], name)
    moving = asyncio.create_task(hand_over(old, new))
    sent = 0
    while not moving.done():
        await peers[1].publish(name, b"tick")
        sent += 1
        await asyncio.sleep(0.12)
    await peers[1].publish(name, b"last")
    await eventually(lambda: got[-1:] == [b"last"], "the last one")
    assert len(got) == sent + 1


async def test_what_waits_for_the_loss_waits_for_that_of_the_new_one(old: NatsConnection, new: NatsConnection) -> None:
    lost = old.lost
    await hand_over(old, new)
    assert not lost.done()
    assert new.lost is lost
    await new.close("over")
    assert lost.result() == "over"


async def test_publishers_keep_their_order(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    """The new connection writes nothing before the old one's is confirmed."""
    name = subject()
    heard = await peers[1].listen(name)
    await wanted(servers[0], name)
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    servers[0].freeze()
    told: list[GatewayError | None] = []
    old.publish(name, [b"a"], told.append)
    handover.switch()
    new.publish(name, [b"b"], told.append)
    finishing = asyncio.create_task(handover.finish())
    await peers[1].fence()
    assert heard == []
    servers[0].thaw()
    await arrived(heard, 2)
    assert heard == [b"a", b"b"]
    await finishing
    assert told == [None, None]


async def test_but_not_for_ever(
    servers: tuple[NatsServer, NatsServer],
    old: NatsConnection,
    new: NatsConnection,
    peers: list[Peer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FENCE_SECONDS", 0.2)
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.2)
    name = subject()
    heard = await peers[1].listen(name)
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    servers[0].freeze()
    told: list[GatewayError | None] = []
    old.publish(name, [b"a"], told.append)
    handover.switch()
    finishing = asyncio.create_task(handover.finish())
    assert await publish(new, name, b"b") is None
    await finishing
    assert [error is not None for error in told] == [True]
    assert heard == [b"b"]
    servers[0].thaw()


async def test_the_old_one_goes_in_the_midst_of_it(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    name = subject()
    subscription, got = await subscribe(old, name)
    await wanted(servers[1], name)
    traffic = Traffic(name, peers[1:])
    traffic.start()
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    await arrived(got, traffic.sent[0])  # the new one brings what was published from here on
    handover.switch()
    servers[0].stop()
    await handover.finish()
    await traffic.stop()
    await eventually(lambda: traffic.missing(got) == 0, "all of it")
    assert not subscription.ended.done()


@pytest.mark.parametrize("which", [0, 1])
async def test_one_goes_before_all_is_there(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer], which: int
) -> None:
    subscription, got = await subscribe(old, name := subject())
    handover = Handover(old, new, PREFIX)
    preparing = asyncio.create_task(handover.prepare())
    await asyncio.sleep(0)
    servers[which].stop()
    await eventually((old, new)[which].lost.done, "it is lost")
    assert not await preparing
    if which:
        await peers[0].publish(name, b"a")
        await arrived(got, 1)
        assert not subscription.ended.done()
    else:
        assert subscription.ended.result().kind is NATS_UNAVAILABLE
        assert new.subscriptions == []


async def test_too_much_comes_meanwhile(
    old: NatsConnection, new: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribe(old, subject())
    monkeypatch.setattr(twins, "MOST_KEPT", -1)
    assert not await Handover(old, new, PREFIX).prepare()
    assert new.subscriptions == []


async def test_who_comes_and_who_goes(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    """At each step: before the others are confirmed, before the switch, and behind it."""
    handover = Handover(old, new, PREFIX)
    stays, stayed = await subscribe(old, subject())
    gone = [await subscribe(old, subject()) for _ in range(4)]
    old.unsubscribe(gone[3][0])
    preparing = asyncio.create_task(handover.prepare())
    await asyncio.sleep(0.1)
    early, early_got = await subscribe(old, subject())
    handover.unsubscribe(gone[0][0])
    assert await preparing
    late, late_got = await subscribe(old, subject())
    handover.unsubscribe(gone[1][0])
    handover.switch()
    finishing = asyncio.create_task(handover.finish())
    new.unsubscribe(gone[2][0])
    handover.unsubscribe(gone[2][0])
    await finishing
    assert set(new.subscriptions) == {stays, early, late}
    for subscription, got in ((stays, stayed), (early, early_got), (late, late_got)):
        await wanted(servers[0], subscription.subject)
        await peers[0].publish(subscription.subject, b"x")
        await arrived(got, 1)
    for subscription, got in gone:
        await peers[0].publish(subscription.subject, b"x")
        await peers[0].fence()
        assert got == []
        new.unsubscribe(subscription)
    for subscription in (stays, early, late):
        new.unsubscribe(subscription)
    await new.barrier()
    assert len(new._client._direct) == 1, "that of the fences"


async def test_who_goes_while_it_asks(old: NatsConnection, new: NatsConnection) -> None:
    """The old connection has forgotten it, and tells nobody."""
    handover = Handover(old, new, PREFIX)
    subscription, _ = await subscribe(old, subject())
    assert await handover.prepare()
    old.unsubscribe(subscription)
    handover.switch()
    await handover.finish()
    assert new.subscriptions == []


async def test_answers_stay_where_they_were_asked_for(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    name = subject()
    asked = await peers[1].messages(name)
    await wanted(servers[0], name)
    inbox, _ = await subscribe(old, f"{PREFIX}.{subject()}.x")
    asking = asyncio.create_task(old.request(name, b"?", 30))
    await eventually(lambda: asked, "the question")
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    assert inbox.subject not in {subscription.subject for subscription in new.subscriptions}
    handover.switch()
    finishing = asyncio.create_task(handover.finish())
    await asyncio.sleep(1.5)
    assert not old.lost.done(), "it is waited for"
    await asked[0].respond(b"!")
    assert (await asking).payload == b"!"
    await finishing
    assert inbox.ended.result().kind is NATS_UNAVAILABLE
    handover.unsubscribe(inbox)


async def test_a_pattern_over_everything_gets_no_fences(
    servers: tuple[NatsServer, NatsServer], old: NatsConnection, new: NatsConnection, peers: list[Peer]
) -> None:
    got: list[Publication] = []
    await old.subscribe(NatsSubscription(">", got.append))
    await wanted(servers[1], ">")
    traffic = Traffic(name := subject(), peers)
    traffic.start()
    await hand_over(old, new)
    await traffic.stop()

    def mine() -> list[bytes]:
        return [publication.payload for publication in got if publication.subject == name]

    await eventually(lambda: traffic.missing(mine()) == 0, "all of it")
    inboxes = (old.fences_prefix, new.fences_prefix)
    assert not [publication.subject for publication in got if publication.subject.startswith(inboxes)]


async def test_what_the_other_server_refuses(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    users = '{user: u, password: p, permissions: {subscribe: {deny: ["no"]}}}'
    old = await open_connection(start_server().url)
    good, _ = await subscribe(old, "yes")
    bad, _ = await subscribe(old, "no")
    third = start_server(f"authorization {{users = [{users}]}}")
    new = await open_connection(third.url, Credentials("u", "p"))
    await hand_over(old, new)
    assert bad.ended.result().kind is FORBIDDEN
    assert not good.ended.done()
    assert new.subscriptions == [good]


async def test_what_it_refuses_later(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    rules = 'authorization {{users = [{{user: u, password: p, permissions: {{subscribe: {{deny: ["{}"]}}}}}}]}}'
    old = await open_connection(start_server().url)
    subscription, _ = await subscribe(old, "a")
    third = start_server(rules.format("b"))
    new = await open_connection(third.url, Credentials("u", "p"))
    await hand_over(old, new)
    third.reload(rules.format("a"))
    await eventually(subscription.ended.done, "it is told")
    assert subscription.ended.result().kind is FORBIDDEN


async def test_the_other_server_has_no_room_for_who_comes_late(
    start_server: Callable[..., NatsServer], open_connection: Opened
) -> None:
    """It is known when the subscription stands for its copy already."""
    old = await open_connection(start_server().url)
    new = await open_connection(start_server("max_subscriptions: 1").url)  # that of its fences
    handover = Handover(old, new, PREFIX)
    assert await handover.prepare()
    late, _ = await subscribe(old, subject())
    handover.switch()
    await handover.finish()
    await eventually(late.ended.done, "it is told")
    assert late.ended.result().kind is OVERLOADED


async def test_what_was_being_subscribed_to_when_the_old_one_went_is_lost_with_it(old: NatsConnection) -> None:
    """It is no refusal of NATS': its clients go on."""
    subscription = NatsSubscription(subject(), lambda _: None)
    old.cork()
    subscribing = asyncio.create_task(old.subscribe(subscription))
    await asyncio.sleep(0)
    assert old.hand_over(subscription) is not None
    await old.close("it went")
    with pytest.raises(GatewayError) as caught:
        await subscribing
    assert caught.value.kind is NATS_UNAVAILABLE


async def test_what_is_kept_for_a_subscription_that_ends_is_for_nobody(
    old: NatsConnection, new: NatsConnection
) -> None:
    kept: dict[str, list[bytes]] = {"stays": [], "ends": []}
    handover = Handover(old, new, PREFIX)
    for name, got in kept.items():
        subscription = NatsSubscription(name, lambda publication, got=got: got.append(publication.payload))  # type: ignore[misc]
        await old.subscribe(subscription)
        handover._watch([subscription])
        handover._copy(subscription).deliver(Publication(name, b"of the new one", 0.0))
        if name == "ends":
            handover.unsubscribe(subscription)
    handover._twins.cut()
    assert kept == {"stays": [b"of the new one"], "ends": []}

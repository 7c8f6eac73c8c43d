"""The bridge of a durable channel on a real JetStream: nothing is lost, doubled or reordered whatever happens to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from helpers.durables import WIRE, Durables, durable
from helpers.fanout import FakeLink
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.stack import Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import base
from wsgw.bridges.base import BridgeState
from wsgw.bridges.place import Coming
from wsgw.broker.jetstream import wanted
from wsgw.channels.channel import Channel, Direction
from wsgw.channels.durable import Durable
from wsgw.channels.position import identity
from wsgw.channels.start import Start
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.sender import Sender

Open = Callable[..., Awaitable[Durables]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BACKOFF_SECONDS", (0.01, 0.1))


@pytest.fixture
async def make(jetstream: NatsServer) -> AsyncIterator[Open]:
    made: list[Durables] = []

    async def start(channel: Channel | None = None) -> Durables:
        made.append(Durables(jetstream, Stack(), channel or durable()))
        await made[-1].open()
        return made[-1]

    async with asyncio.timeout(90):
        yield start
        for each in made:
            await each.close()


@pytest.fixture
async def orders(make: Open) -> Durables:
    return await make()


async def test_the_stream_is_made_and_what_comes_is_handed_on(orders: Durables) -> None:
    info = await orders.ask("STREAM.INFO.S")
    assert info["config"]["subjects"] == ["orders"]  # type: ignore[index]
    client = orders.follow()
    await orders.publish("a", "b", "c")
    await arrived(client.link.data, 3)
    assert client.link.data == [b"1 a", b"2 b", b"3 c"]
    assert client.coming == [Coming.NEW]
    assert (client.places[0].sequence, client.placed_after) == (0, [0])
    assert value(orders.stack.metrics, "wsgw_nats_messages_total", channel="orders") == 3
    assert value(orders.stack.metrics, "wsgw_ring_messages", channel="orders") == 3
    assert value(orders.stack.metrics, "wsgw_deliveries_total", channel="orders", transport="websocket") == 3
    client.end()
    await orders.publish("d")
    assert len(client.link.data) == 3


async def test_who_comes_back_gets_what_came_meanwhile(orders: Durables) -> None:
    client = orders.follow()
    await orders.publish("a", "b")
    await arrived(client.link.data, 2)
    client.end()
    await orders.publish("c", "d")
    again = orders.follow(Start(after=client.position))
    assert again.link.data == [b"3 c", b"4 d"], "at once: it is in the history"
    assert again.coming == [Coming.RECOVERED]
    assert again.placed_after == [0]
    await orders.publish("e")
    await arrived(again.link.data, 3)
    assert value(orders.stack.metrics, "wsgw_resumes_total", channel="orders", result="recovered") == 1
    assert value(orders.stack.metrics, "wsgw_stream_reads_total", channel="orders") == 0


async def test_another_bridge_knows_the_position(make: Open) -> None:
    one = await make()
    client = one.follow()
    await one.publish("a", "b")
    await arrived(client.link.data, 2)
    client.end()
    await one.publish("c")
    other = await make()
    again = other.follow(Start(after=client.position))
    await other.publish("d")
    await arrived(again.link.data, 2)
    assert again.link.data == [b"3 c", b"4 d"]
    assert again.coming == [Coming.RECOVERED]
    assert value(other.stack.metrics, "wsgw_stream_reads_total", channel="orders") == 1
    assert len(await one.consumers()) == 2


async def test_one_that_was_further_elsewhere_waits_for_this_gateway(make: Open) -> None:
    one = await make()
    await one.publish("a", "b")
    assert one.bridge.history is not None
    ahead = one.follow(Start(after={one.bridge.history.identity: 4}))
    await one.publish("c", "d")
    await one.publish("e")
    await arrived(ahead.link.data, 1)
    assert ahead.link.data == [b"5 e"]
    assert ahead.coming == [Coming.RECOVERED]


async def test_a_position_that_is_unknown_or_too_far_is_a_gap(
    orders: Durables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgw.bridges.following.AHEAD_SECONDS", 0.2)
    await orders.publish("a")
    assert orders.bridge.history is not None
    unknown = orders.follow(Start(after={"0123456789": 7}))
    nothing = orders.follow(Start(after={}))
    far = orders.follow(Start(after={orders.bridge.history.identity: 10**18}))
    await eventually(lambda: far.places, "it is told")
    await orders.publish("b")
    for client in (unknown, nothing, far):
        await arrived(client.link.data, 1)
        assert client.link.data == [b"2 b"]
        assert client.coming == [Coming.GAP]
        assert (client.places[0].missed, client.places[0].sequence) == (None, 1)


async def test_what_is_gone_from_the_stream_is_told(make: Open) -> None:
    one = await make()
    assert one.bridge.history is not None
    position = {one.bridge.history.identity: 1}
    await one.publish(*range(6))
    await one.ask("STREAM.PURGE.S", seq=5)  # up to 4
    other = await make()
    client = other.follow(Start(after=position))
    await arrived(client.link.data, 2)
    assert client.sequences == [5, 6]
    assert client.coming == [Coming.GAP]
    assert (client.places[0].missed, client.places[0].sequence) == (3, 4)
    whole = other.follow(Start(after={one.bridge.history.identity: 4}))
    await arrived(whole.link.data, 2)
    assert whole.coming == [Coming.RECOVERED], "the stream has all that came after"


async def test_what_was_deleted_in_the_middle_is_in_doubt(make: Open) -> None:
    one = await make()
    assert one.bridge.history is not None
    await one.publish(*range(6))
    await one.ask("STREAM.MSG.DELETE.S", seq=3)
    client = (await make()).follow(Start(after={one.bridge.history.identity: 1}))
    await arrived(client.link.data, 4)
    assert client.sequences == [2, 4, 5, 6]
    assert client.coming == [Coming.GAP]
    assert client.places[0].missed is None


async def test_the_last_ones_and_those_since(make: Open) -> None:
    one = await make()
    await one.publish(*range(5))
    begun = time.time()
    await eventually(lambda: time.time() > begun + 3.0, "those that come now are younger than what is asked for below")
    await one.publish(*range(5, 8))
    other = await make()
    for each in (one, other):
        last = each.follow(Start(last=2))
        since = each.follow(Start(since_seconds=time.time() - begun - 1.0))
        many = each.follow(Start(last=100))
        await arrived(last.link.data, 2)
        await arrived(since.link.data, 3)
        await arrived(many.link.data, 8)
        assert (last.sequences, since.sequences, many.sequences) == ([7, 8], [6, 7, 8], [*range(1, 9)])
        assert last.coming == since.coming == many.coming == [Coming.NEW]
        assert [client.places[0].sequence for client in (last, since, many)] == [6, 5, 0]
    ever = other.follow(Start(since_seconds=3600.0))
    await arrived(ever.link.data, 8)


async def test_a_consumer_that_is_deleted_or_silent_is_made_again(
    orders: Durables, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = orders.follow()
    await orders.publish("a")
    (name,) = await orders.consumers()
    await orders.ask(f"CONSUMER.DELETE.S.{name}")
    await orders.publish("b")
    await arrived(client.link.data, 2)
    (other,) = await orders.consumers()
    assert other != name
    assert client.sequences == [1, 2]
    assert client.coming == [Coming.NEW]


async def test_a_killed_server(orders: Durables) -> None:
    client = orders.follow()
    await orders.publish("a", "b")
    orders.server.stop()
    await eventually(lambda: orders.bridge.state is not BridgeState.SUBSCRIBED, "the loss is noticed")
    away = orders.follow(Start(after={client.places[0].identity: 1}))
    assert away.link.data == [b"2 b"], "from the history, without NATS"
    orders.server.start()
    await orders.publish("c", "d")
    await arrived(client.link.data, 4)
    await arrived(away.link.data, 3)
    assert (client.sequences, away.sequences) == ([1, 2, 3, 4], [2, 3, 4])
    assert client.coming == [Coming.NEW]


async def test_a_stream_that_is_made_anew(orders: Durables) -> None:
    client = orders.follow()
    await orders.publish("a", "b", "c")
    await arrived(client.link.data, 3)
    old = client.position
    await orders.ask("STREAM.DELETE.S")
    await eventually(lambda: len(client.places) == 2, "the client is told")
    assert client.coming == [Coming.NEW, Coming.GAP]
    await orders.publish("x", "y")
    await arrived(client.link.data, 5)
    assert client.sequences == [1, 2, 3, 1, 2]
    back = orders.follow(Start(after=old))
    await eventually(lambda: back.places, "it is told")
    assert back.coming == [Coming.GAP]
    assert set(old) != {client.places[1].identity}


async def test_clients_that_are_behind_when_the_stream_is_made_anew(orders: Durables) -> None:
    client = orders.follow(Start(last=3))
    await orders.publish("a", "b", "c")
    slow = orders.follow(Start(after={client.places[0].identity: 0}))
    slow.link.pause()
    await orders.publish("d")
    await orders.ask("STREAM.DELETE.S")
    await eventually(lambda: len(client.places) == 2, "the client is told")
    await orders.publish("x")
    slow.link.resume()
    await arrived(slow.link.data, 5)
    assert slow.payloads[-1] == b"x"
    assert slow.coming == [Coming.RECOVERED, Coming.GAP]


async def test_a_stream_that_is_not_as_configured(make: Open, jetstream: NatsServer) -> None:
    one = await make()
    await one.publish("a")
    other = Durables(jetstream, one.stack, durable(stream=Durable("S", max_age_seconds=60.0)))
    other.bridge = other.make()
    one.stack.start(other.bridge)
    await eventually(lambda: other.bridge.state is BridgeState.FAILED, "it fails")
    assert other.bridge.reason == "stream S has max_age 86400 s, the configuration says 60 s"
    missing = Durables(jetstream, one.stack, durable(stream=Durable("NONE", managed=False)))
    missing.bridge = missing.make()
    one.stack.start(missing.bridge)
    await eventually(lambda: missing.bridge.state is BridgeState.FAILED, "it fails")
    assert missing.bridge.reason == "there is no stream NONE, and managed is false"
    await missing.bridge.stop()
    client = missing.follow()
    client.end()
    assert client.places == []


async def test_a_pattern_is_one_stream(make: Open) -> None:
    rooms = await make(durable("room.*"))
    every, seven = rooms.follow(), rooms.follow(name="room.7")
    await rooms.publish("a", subject="room.7")
    await rooms.publish("b", subject="room.8")
    await rooms.publish("c", subject="room.7")
    await arrived(every.link.data, 3)
    await arrived(seven.link.data, 2)
    assert seven.sequences == [1, 3]
    seven.end()
    await rooms.publish("d", subject="room.8")
    await rooms.publish("e", subject="room.7")
    again = rooms.follow(Start(after=seven.position), name="room.7")
    assert again.link.data == [b"5 e"]
    elsewhere = (await make(durable("room.*"))).follow(Start(after={seven.places[0].identity: 1}), name="room.7")
    await arrived(elsewhere.link.data, 2)
    assert elsewhere.link.data == [b"3 c", b"5 e"]
    assert again.coming == elsewhere.coming == [Coming.RECOVERED]
    assert len(await rooms.consumers()) == 2


async def test_names_of_other_channels_are_not_its_own(make: Open) -> None:
    """A channel of its own has the name ``room.7``, whose clients get what that one brings."""
    rooms = await make(durable("room.*"))
    every, eight = rooms.follow(), rooms.follow(name="room.8")
    rooms.follow(name="room.9").end()
    sender = Sender(WIRE, OutboxTotals(), lambda: None)
    link = FakeLink(sender)
    sender.attach(link)
    rooms.bridge.hub.subscribe(Channel("room.7", Direction.INBOUND), "room.7", sender)
    for subject in ("room.7", "room.8", "room.9"):
        await rooms.publish("x", subject=subject)
    await arrived(every.link.data, 3)
    await arrived(eight.link.data, 1)
    assert not link.data
    assert rooms.bridge._keys == {"room.*": 1, "room.8": 1}


async def test_an_existing_stream_of_several_subjects(make: Open, jetstream: NatsServer) -> None:
    maker = Durables(jetstream, Stack(), durable())
    await maker.stack.connect(jetstream.url)
    from helpers.peer import Peer

    maker.peer = await Peer.connect(jetstream.url)
    await maker.ask("STREAM.CREATE.S", name="S", subjects=["orders", "other"], max_msgs_per_subject=2)
    one = await make(durable(stream=Durable("S", managed=False)))
    client = one.follow()
    for number in range(4):
        await one.publish(number)
        await maker._store("other", b"x")
    await arrived(client.link.data, 4)
    assert client.sequences == [1, 3, 5, 7]
    again = one.follow(Start(after={client.places[0].identity: 1}))
    assert again.sequences == [3, 5, 7]
    assert again.coming == [Coming.RECOVERED], "it is all here"
    elsewhere = (await make(durable(stream=Durable("S", managed=False)))).follow(
        Start(after={client.places[0].identity: 1})
    )
    await arrived(elsewhere.link.data, 2)
    assert elsewhere.sequences == [5, 7]
    assert elsewhere.coming == [Coming.GAP]
    await maker.close()


async def test_a_slow_client_is_disconnected(orders: Durables) -> None:
    client = orders.follow()
    client.link.pause()
    await orders.publish("a")
    await eventually(lambda: len(client.sender) == 1, "it waits")
    await orders.stack.broker.barrier()
    many = orders.channel.outbox_messages
    for _ in range(0, many + 1000, 1000):
        orders.bridge.hub.deliver(orders.channel, "orders", client.sender, orders.bridge.history.after(0, 1) * 1000)  # type: ignore[union-attr]
        if client.overflowed:
            break
    assert client.overflowed == 1
    client.end()


async def test_a_stream_that_another_gateway_knows_already(orders: Durables) -> None:
    """A client comes from there before this gateway has noticed that the stream was made anew."""
    assert orders.bridge.history is not None
    old = orders.bridge.history.identity
    await orders.publish("a")
    live = orders.follow()
    await orders.ask("STREAM.DELETE.S")
    info = await orders.ask("STREAM.CREATE.S", **wanted(Durable("S"), "orders"))
    created = info["created"]
    assert isinstance(created, str)
    new = identity("orders", "S", created)
    for payload in ("x", "y"):
        await orders._store("orders", payload.encode())
    client = orders.follow(Start(after={new: 1}))
    await arrived(client.link.data, 1)
    assert client.link.data == [b"2 y"]
    assert client.coming == [Coming.RECOVERED]
    assert new != old
    await arrived(live.link.data, 2)
    assert live.coming == [Coming.NEW, Coming.GAP]
    assert live.payloads == [b"x", b"y"]

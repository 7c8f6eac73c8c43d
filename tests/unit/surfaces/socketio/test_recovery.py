"""Sockets whose clients come back: what they are told, what is bounded, and what is left of one that goes meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.bridges.durable import DurableBridge
from wsgw.channels.position import MAX_STREAMS, parse
from wsgw.fanout.publication import Publication
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.socketio.recovery import MAX_NAMES_LENGTH, names_text
from wsgw.surfaces.socketio.channels import ChannelsHandler
from wsgw.surfaces.socketio.recovery import Recovery

from .client import Client

CHANNELS = [
    {"name": "orders", "direction": "both", "durable": True},
    {"name": "room.*", "direction": "both", "durable": {"stream": "ROOMS"}},
    {"name": "plain.*", "direction": "both"},
]


@pytest.fixture
async def served(jetstream: NatsServer) -> AsyncIterator[Running]:
    async with running(jetstream.url, channels=CHANNELS) as made:
        yield made


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


def bridge_of(served: Running, channel: str) -> DurableBridge:
    bridge = served.gateway.bridges._bridges[channel]
    assert isinstance(bridge, DurableBridge)
    return bridge


def pid_of(answer: str) -> str:
    assert answer.startswith("40{"), answer
    return str(json.loads(answer[2:])["pid"])


async def opened(served: Running, names: str, auth: object = None, **query: str) -> tuple[Client, str]:
    client = Client(served, {"channels": names, "recovery": "1", **query})
    return client, pid_of(await client.opened("" if auth is None else json.dumps(auth)))


async def test_only_who_asks_for_it_has_it(served: Running, peer: Peer) -> None:
    client = Client(served, {"channels": "orders"})
    assert "pid" not in json.loads((await client.opened())[2:])
    await peer.publish("orders", "x")
    assert await client.received(1) == ['42["orders","x"]']


async def test_the_pid_says_where_it_began(served: Running, peer: Peer) -> None:
    first, pid = await opened(served, "orders")
    await peer.publish("orders", "x")
    (event,) = await first.received(1)
    name, payload, offset = json.loads(event[2:])
    assert (name, payload) == ("orders", "x")
    begun = pid.partition("~")[2]
    assert begun.rpartition("-")[0] == offset.rpartition("-")[0]
    assert int(begun.rpartition("-")[2]) == int(offset.rpartition("-")[2]) - 1
    again, same = await opened(served, "orders", {"pid": pid})
    assert same == pid
    assert await again.received(1) == [event]
    _, same = await opened(served, "orders", {"pid": pid, "offset": offset})
    assert same == pid


async def test_a_name_that_is_had_no_more_is_told(served: Running, peer: Peer) -> None:
    client, pid = await opened(served, "orders")
    for name in ("plain.1", "room.1"):
        client.send(f'27["wsgw:subscribe","{name}"]')
        ack, joined = await client.received(2)
        assert ack == "437[true]"
        assert json.loads(joined[2:])[:2] == ["wsgw:joined", {"channel": name}]
    offset = json.loads(joined[2:])[2]
    async with running(served.gateway.settings.nats.servers[0], channels=CHANNELS[:2]) as less:
        again = Client(less, {"channels": "orders", "recovery": "1"})
        again.send("0" + json.dumps({"pid": pid, "offset": offset}))
        answer, gap = await again.received(2)
        assert pid_of(answer) != pid
        assert json.loads(gap[2:])[:2] == ["wsgw:gap", {"channels": ["plain.1"], "missed": None}]
        await peer.publish("room.1", "it has this one")
        (event,) = await again.received(1)
        assert json.loads(event[2:])[:2] == ["room.1", "it has this one"]


async def test_a_second_subscription_says_nothing(served: Running) -> None:
    client, _ = await opened(served, "orders")
    assert await client.ack('27["wsgw:subscribe","orders"]') is True


async def test_names_of_streams_are_bounded(served: Running) -> None:
    names = ",".join(f"room.{number}" for number in range(MAX_STREAMS))
    client, _ = await opened(served, names)
    assert await client.error('27["wsgw:subscribe","orders"]') == "too_many_subjects"
    assert await client.ack('27["wsgw:unsubscribe","room.0"]') is True
    client.send('27["wsgw:subscribe","orders"]')
    assert (await client.received(2))[0] == "437[true]"
    refused = Client(served, {"channels": f"{names},orders", "recovery": "1"})
    answer = await refused.opened()
    assert answer.startswith("44{")
    assert "too_many_subjects" in answer


async def test_names_whose_places_are_not_known_count(served: Running) -> None:
    client, _ = await opened(served, "orders")
    rooms = bridge_of(served, "room.*")
    history, rooms.history = rooms.history, None  # as before the stream was looked at
    for number in range(MAX_STREAMS - 1):
        assert await client.ack(f'27["wsgw:subscribe","room.{number}"]') is True
    assert await client.error('27["wsgw:subscribe","room.x"]') == "too_many_subjects"
    assert await client.ack('27["wsgw:unsubscribe","room.0"]') is True
    assert await client.ack('27["wsgw:subscribe","room.x"]') is True
    rooms.history = history


async def test_others_are_none_of_them(served: Running) -> None:
    client, _ = await opened(served, ",".join(f"room.{number}" for number in range(MAX_STREAMS)))
    client.send('27["wsgw:subscribe","plain.1"]')
    assert (await client.received(2))[0] == "437[true]"
    assert await client.error('27["wsgw:subscribe","nowhere"]') == "unknown_channel"


async def test_names_that_come_and_go_leave_nothing(served: Running) -> None:
    client, _ = await opened(served, "orders")
    handler = client.sockets._sockets["/"].handler  # type: ignore[union-attr]
    assert isinstance(handler, ChannelsHandler)
    assert handler._recovery is not None
    before = size_of(handler._recovery)
    for number in range(200):
        client.send(f'2["wsgw:subscribe","room.{number}"]')
        client.send(f'2["wsgw:unsubscribe","room.{number}"]')
    await eventually(lambda: not handler._subscriptions._changes, "all are done")
    assert size_of(handler._recovery) == before


def size_of(recovery: Recovery) -> int:
    """How much is in what it keeps, and its places."""
    kept = [getattr(of, name) for of in (recovery, recovery._places) for name in of.__slots__]
    return sum([len(each) for each in kept if isinstance(each, (dict, set, list))])


async def test_a_name_that_was_left_can_be_had_again(served: Running) -> None:
    """However many others were."""
    names = [f"plain.{number}{'x' * 50}" for number in range(40)]
    client, _ = await opened(served, ",".join(names))
    for name in names:
        assert await client.ack(f'27["wsgw:unsubscribe","{name}"]') is True
    client.send(f'27["wsgw:subscribe","{names[0]}"]')
    assert (await client.received(2))[0] == "437[true]"


async def test_names_that_it_says_it_had_count_as_much_as_they_cost(served: Running) -> None:
    client, pid = await opened(served, "orders")
    client.send("1")
    said = names_text([f"x{number}" for number in range(50)], [f"y{number}" for number in range(30)])
    client.send("0" + json.dumps({"pid": pid, "offset": f"1{said}"}))
    answer, gap = await client.received(2)
    assert pid_of(answer) != pid
    assert len(json.loads(gap[2:])[1]["channels"]) == 51
    assert client.needless_packets == 1 + 1 + 80, "it connects again, to one channel, and these"


async def test_a_gap_comes_behind_what_came_before_it(served: Running) -> None:
    """Else its position would be beyond what the client has: if it was cut there, that would be lost."""
    client, _ = await opened(served, "orders")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="orders") == 1, "live")
    orders = bridge_of(served, "orders")
    for sequence in (1, 2, 5):
        orders._received(Publication("orders", b"x", 0.0), sequence, 0, 0)
    events = [json.loads(event[2:]) for event in await client.received(4)]
    assert [name for name, *_ in events] == ["orders", "orders", "wsgw:gap", "orders"]
    assert events[2][1] == {"channels": ["orders"], "missed": 2}
    assert [int(offset.rpartition("-")[2]) for *_, offset in events] == [1, 2, 4, 5]


async def test_another_stream_comes_behind_what_came_before_it(served: Running) -> None:
    """Else what was of the old one would be said to be of this one."""
    client, _ = await opened(served, "orders")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="orders") == 1, "live")
    orders = bridge_of(served, "orders")
    info = await orders._streams.stream("orders")
    assert info is not None
    for sequence in (1, 2):
        orders._received(Publication("orders", b"x", 0.0), sequence, 0, 0)
    orders._look_at(replace(info, created="just now", last=0))
    events = [json.loads(event[2:]) for event in await client.received(3)]
    assert [name for name, *_ in events] == ["orders", "orders", "wsgw:gap"]
    positions = [parse(offset) for *_, offset in events]
    (old,) = positions[0]  # type: ignore[misc]
    assert orders.history is not None
    assert positions == [{old: 1}, {old: 2}, {orders.history.identity: 0}]


async def test_names_joined_later_are_bounded(served: Running) -> None:
    client, _ = await opened(served, "")
    size = 100
    most = MAX_NAMES_LENGTH * 3 // 4 // (size + 3)
    for number in range(most):
        client.send(f'27["wsgw:subscribe","plain.{number}{"x" * (size - 7)}"]')
        ack, joined = await client.received(2)
        assert ack == "437[true]"
        assert len(joined) < MAX_NAMES_LENGTH + 100
    assert await client.error(f'27["wsgw:subscribe","plain.{"y" * size}"]') == "too_many_subjects"
    assert await client.ack('27["wsgw:unsubscribe","plain.0' + "x" * (size - 7) + '"]') is True
    client.send(f'27["wsgw:subscribe","plain.{"y" * size}"]')
    assert (await client.received(2))[0] == "437[true]"


async def test_what_is_left_of_many_is_not_said(served: Running, peer: Peer) -> None:
    names = [f"plain.{number}{'x' * 50}" for number in range(40)]
    client, _ = await opened(served, ",".join([*names, "orders"]))
    for name in names:
        assert await client.ack(f'27["wsgw:unsubscribe","{name}"]') is True
    await peer.publish("orders", "x")
    (event,) = await client.received(1)
    offset = json.loads(event[2:])[2]
    assert len(offset) < MAX_NAMES_LENGTH + 100


async def test_one_that_goes_before_its_place_is_known(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = bridge_of(served, "orders")
    history, bridge.history = bridge.history, None  # as before the stream was looked at
    client = Client(served, {"channels": "orders", "recovery": "1"})
    client.send("0")
    await eventually(lambda: bridge._waiting, "it waits for its place")
    client.send("1")
    assert client._task is not None
    await asyncio.wait([client._task])
    assert not bridge._waiting
    assert served.value("wsgw_connections", transport="socketio") == 0
    bridge.history = history
    client.send("0")
    await client._task
    assert pid_of((await client.received(1))[0])
    assert isinstance(client.sender, StampingSender)
    assert list(client.sender.stamp.marks) == ["orders"]


async def test_a_stream_that_cannot_be_asked_keeps_nobody_from_others(
    served: Running, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgw.core.places.PLACING_SECONDS", 0.05)
    orders = bridge_of(served, "orders")
    history, orders.history = orders.history, None  # as before the stream was looked at
    client, pid = await opened(served, "orders,room.1")
    assert pid.partition("~")[2].count("-") == 1
    await peer.publish("room.1", "x")
    assert (await client.received(1))[0].startswith('42["room.1","x"')
    orders.history = history
    for following in orders._waiting:
        following.begin()
    (joined,) = await client.received(1)
    name, said, offset = json.loads(joined[2:])
    assert (name, said) == ("wsgw:joined", {"channel": "orders"})
    assert offset.count("-") == 2


async def test_a_gap_later_is_told(served: Running, jetstream: NatsServer) -> None:
    """With recovery and without."""
    bare = Client(served, {"channels": "orders"})
    await bare.opened()
    client, _ = await opened(served, "orders")
    peer = await Peer.connect(jetstream.url)
    await peer.nats.request("$JS.API.STREAM.DELETE.orders", b"", timeout=10)
    await peer.close()
    (told,) = await client.received(1)
    name, said, offset = json.loads(told[2:])
    assert (name, said) == ("wsgw:gap", {"channels": ["orders"], "missed": None})
    assert isinstance(client.sender, StampingSender)
    assert offset == client.sender.stamp.text
    assert await bare.received(1) == ['42["wsgw:gap",{"channels":["orders"],"missed":null}]']

"""What sockets are subscribed to when channels change: they stay, and are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.reload import channels_but, reload_to
from helpers.running import CHANNELS, Running, running
from helpers.session import Except
from helpers.waiting import eventually
from wsgw.channels.channel import Use

from .client import Client

Changed = Mapping[str, Mapping[str, Any] | None]


async def opened(served: Running, query: dict[str, str]) -> Client:
    client = Client(served, query)
    assert (await client.opened()).startswith("40")
    return client


async def change(served: Running, changes: Changed) -> None:
    await reload_to(served.gateway, channels_but(changes))
    await eventually(lambda: not served.gateway.readiness().bridges, "all are subscribed")


def said(packet: Any) -> tuple[str, Any]:
    name, argument, *_ = json.loads(str(packet)[2:])
    return name, argument


GAP = ("wsgw:gap", {"channels": ["IN"], "missed": None})


@pytest.mark.parametrize("query", [{}, {"channels": "IN,BOTH"}])
async def test_a_removed_channel(served: Running, peer: Peer, query: dict[str, str]) -> None:
    client = await opened(served, query)
    await peer.publish("IN", "before")
    assert await client.received(1) == ['42["IN","before"]']
    await change(served, {"IN": None})
    (packet,) = await client.received(1)
    error = {"code": "unknown_channel", "message": "there is no channel 'IN' any more"}
    assert said(packet) == ("wsgw:unsubscribed", {"channel": "IN", "error": error})
    await peer.publish("BOTH", "x")
    assert await client.received(1) == ['42["BOTH","x"]']
    assert client.ended == []
    assert await client.error('27["wsgw:subscribe","IN"]') == "unknown_channel"
    await client.stop()


async def test_an_added_channel_is_for_who_asked_for_nothing(served: Running, peer: Peer) -> None:
    everything, some = await opened(served, {}), await opened(served, {"channels": "BOTH"})
    await change(served, {"NEW": {"direction": "inbound"}, "new.out": {"direction": "outbound"}})
    await eventually(lambda: served.value("wsgw_subscriptions", channel="NEW") == 1, "subscribed")
    await peer.publish("NEW", "1")
    assert await everything.received(1) == ['42["NEW","1"]']
    await peer.publish("BOTH", "2")
    assert await some.received(1) == ['42["BOTH","2"]']
    assert await some.ack('27["wsgw:subscribe","NEW"]') is True
    await everything.stop()
    await some.stop()


async def test_a_channel_that_brings_something_now(served: Running, peer: Peer) -> None:
    client = await opened(served, {})
    await change(served, {"OUT": {"direction": "both"}})
    await eventually(lambda: served.value("wsgw_subscriptions", channel="OUT") == 1, "subscribed")
    await peer.publish("OUT", "1")
    assert await client.received(1) == ['42["OUT","1"]']
    await client.stop()


@pytest.mark.parametrize("query", [{}, {"channels": "IN"}])
async def test_a_changed_channel_is_kept_and_something_may_be_missing(
    served: Running, peer: Peer, query: dict[str, str]
) -> None:
    client = await opened(served, query)
    await change(served, {"IN": {"subject": "elsewhere"}})
    assert [said(packet) for packet in await client.received(1)] == [GAP]
    await peer.publish("IN", "old")
    await peer.publish("elsewhere", "new")
    assert await client.received(1) == ['42["IN","new"]']
    await client.stop()


async def test_one_that_was_left_is_not_come_back_to(served: Running, peer: Peer) -> None:
    client = await opened(served, {})
    assert await client.ack('27["wsgw:unsubscribe","IN"]') is True
    await change(served, {"IN": {"subject": "elsewhere"}})
    await peer.publish("elsewhere", "x")
    await peer.publish("BOTH", "1")
    assert await client.received(1) == ['42["BOTH","1"]']
    await client.stop()


async def test_one_that_brings_nothing_any_more(served: Running) -> None:
    client = await opened(served, {"channels": "BOTH"})
    await change(served, {"BOTH": {"direction": "outbound"}})
    (packet,) = await client.received(1)
    name, told = said(packet)
    assert (name, told["channel"], told["error"]["code"]) == ("wsgw:unsubscribed", "BOTH", "wrong_direction")
    assert await client.ack('27["BOTH","x"]') is True
    await client.stop()


@pytest.mark.parametrize("held", [False, True])
async def test_who_leaves_it_is_not_subscribed_again(served: Running, held: bool) -> None:
    """Whether that is before or after the change, which waits behind what the client asked for."""
    client = await opened(served, {"channels": "IN"})
    if held:
        served.gateway.broker.hold()
    client.send('21["wsgw:subscribe","chat.1"]')
    client.send('22["wsgw:unsubscribe","IN"]')
    await reload_to(served.gateway, channels_but({"IN": {"subject": "elsewhere"}}))
    served.gateway.broker.release()
    assert await client.received(2) == ["431[true]", "432[true]"]
    await eventually(lambda: not served.gateway.readiness().bridges, "all are subscribed")
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_subscriptions", channel="chat.*") == 1
    assert await client.error('27["wsgw:unsubscribe","IN"]') == "bad_request"
    await client.stop()


async def test_a_channel_that_goes_while_it_is_joined(served: Running) -> None:
    client = await opened(served, {"channels": ""})
    served.gateway.broker.hold()
    client.send('27["wsgw:subscribe","chat.1"]')
    await asyncio.sleep(0)
    await reload_to(served.gateway, channels_but({"chat.*": None}))
    served.gateway.broker.release()
    packets = await client.received(2)
    assert packets[0] == "437[true]"
    assert said(packets[1])[0] == "wsgw:unsubscribed"
    await client.stop()


async def test_a_name_that_belongs_elsewhere_while_it_is_joined(served: Running, peer: Peer) -> None:
    client = await opened(served, {"channels": ""})
    served.gateway.broker.hold()
    client.send('27["wsgw:subscribe","chat.1"]')
    await asyncio.sleep(0)
    await reload_to(served.gateway, channels_but({"chat.1": {"direction": "inbound", "subject": "other"}}))
    served.gateway.broker.release()
    packets = await client.received(2)
    assert packets[0] == "437[true]"
    assert said(packets[1]) == ("wsgw:gap", {"channels": ["chat.1"], "missed": None})
    await eventually(lambda: not served.gateway.readiness().bridges, "all are subscribed")
    await peer.publish("other", "x")
    assert await client.received(1) == ['42["chat.1","x"]']
    await client.stop()


async def test_rights_that_go_while_it_is_joined(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ack says so, and nothing else."""
    client = await opened(served, {"channels": ""})
    served.gateway.broker.hold()
    client.send('27["wsgw:subscribe","chat.1"]')
    await asyncio.sleep(0)
    rules = Except(("", Use.SUBSCRIBE, "chat.1"))
    monkeypatch.setattr(served.gateway, "rules", rules)
    await reload_to(served.gateway, channels_but({"chat.1.>": {"direction": "both"}, "chat.>": {"direction": "both"}}))
    await reload_to(served.gateway, channels_but({"chat.1": {"direction": "inbound"}}))
    served.gateway.broker.release()
    (packet,) = await client.received(1)
    assert json.loads(packet[3:])[0]["error"]["code"] == "forbidden"
    await client.stop()


@pytest.mark.parametrize(
    ("query", "changes", "events"),
    [
        ({}, {"IN": None}, ["BOTH"]),
        ({"channels": "IN,BOTH,chat.1"}, {"IN": None}, ["wsgw:unsubscribed", "BOTH"]),
        ({}, {"NEW": {"direction": "inbound", "subject": "other"}}, ["BOTH", "NEW"]),
        ({"channels": "IN,BOTH,chat.1"}, {"IN": {"subject": "other"}}, ["BOTH", "IN"]),
        ({"channels": "IN,BOTH,chat.1"}, {"NEW": {"direction": "inbound", "subject": "other"}}, ["BOTH"]),
    ],
)
async def test_changes_while_it_connects(
    served: Running, peer: Peer, query: dict[str, str], changes: Changed, events: list[str]
) -> None:
    """It is connected all the same, and told behind the answer."""
    client = Client(served, query)
    served.gateway.broker.hold()  # what it joins is not proven
    client.send("0")
    await asyncio.sleep(0)
    assert len(served.gateway.sessions) == 1
    await reload_to(served.gateway, channels_but(changes))
    assert not client.sender
    served.gateway.broker.release()
    assert client._task is not None
    await client._task
    await eventually(lambda: not served.gateway.readiness().bridges, "all are subscribed")
    for name in events:
        if not name.startswith("wsgw:"):
            await eventually(lambda: served.value("wsgw_subscriptions", channel=name) == 1, name)  # noqa: B023
    await peer.publish("BOTH", "1")
    await peer.publish("other", "2")
    packets = await client.received(1 + len(events))
    assert packets[0].startswith("40")
    assert [said(packet)[0] for packet in packets[1:]] == events
    await client.stop()


DURABLE = [*CHANNELS, {"name": "orders", "direction": "both", "durable": True}]


@pytest.fixture
async def held(jetstream: NatsServer) -> AsyncIterator[Running]:
    async with running(jetstream.url, channels=DURABLE) as made:
        yield made


async def test_a_durable_channel_goes_on_where_the_client_can_say_where(held: Running, jetstream: NatsServer) -> None:
    peer = await Peer.connect(jetstream.url)
    client = await opened(held, {"channels": "orders", "recovery": "1"})
    await peer.store("orders", "1")
    assert said((await client.received(1))[0]) == ("orders", "1")
    changing = asyncio.ensure_future(reload_to(held.gateway, channels_but({"orders": {"payload": "json"}}, DURABLE)))
    await peer.store("orders", "2")
    await changing
    await peer.store("orders", "3")
    packets = [said(packet) for packet in await client.received(3)]
    assert ("wsgw:joined", {"channel": "orders"}) in packets
    assert [int(value) for name, value in packets if name == "orders"] == [2, 3]
    await client.stop()
    await peer.close()


async def test_a_durable_channel_of_a_client_that_cannot(held: Running, jetstream: NatsServer) -> None:
    peer = await Peer.connect(jetstream.url)
    client = await opened(held, {"channels": "orders"})
    await reload_to(held.gateway, channels_but({"orders": {"on_join": {"last": 5}, "payload": "json"}}, DURABLE))
    await eventually(lambda: not held.gateway.readiness().bridges, "all are subscribed")
    assert said((await client.received(1))[0]) == ("wsgw:gap", {"channels": ["orders"], "missed": None})
    await peer.store("orders", "3")
    assert said((await client.received(1))[0]) == ("orders", 3)
    await client.stop()
    await peer.close()


async def test_it_ends_while_it_is_told(served: Running) -> None:
    client = await opened(served, {})
    changing = asyncio.ensure_future(reload_to(served.gateway, channels_but({"IN": {"subject": "x"}, "BOTH": None})))
    await eventually(lambda: len(client.sender), "it is told")
    before = client.kept_bytes
    client.sockets.closed(1006)
    await changing
    assert client.kept_bytes <= before
    assert not served.gateway.sessions

"""What events of one client can make the gateway do: how much of them waits, and what refusing costs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.config.limits import LimitsSettings
from wsgw.core.outbound import Outlet
from wsgw.core.receiving import MOST_LEFT_AT_ONCE
from wsgw.errors import TOO_LARGE, GatewayError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Publication
from wsgw.fanout.sender import Sender
from wsgw.shares import slices
from wsgw.shares.slices import Work, one_by_one
from wsgw.surfaces.socketio import channels as module
from wsgw.surfaces.socketio import subscriptions
from wsgw.surfaces.socketio.namespace import NAME_BYTES
from wsgw.surfaces.socketio.payloads import payload_of

from .client import Client


async def test_any_number_may_be_left_at_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving waits for nothing, unless for a subscription that was asked for before it."""
    names = [f"chat.{number}" for number in range(5)]
    for name in names:
        assert await client.ack(f'27["wsgw:subscribe","{name}"]') is True
    monkeypatch.setattr(subscriptions, "MAX_CHANGES", 1)
    for id, name in enumerate(names):
        client.send(f'2{id}["wsgw:unsubscribe","{name}"]')
    assert await client.received(5) == [f"43{id}[true]" for id in range(5)]


async def test_too_large(client: Client, peer: Peer) -> None:
    got = await peer.listen("OUT")
    packet = '51-7["OUT",{"_placeholder":true,"num":0}]'
    assert await client.ack(packet, bytes(1024 * 1024)) is True
    assert await client.error(packet, bytes(1024 * 1024 + 1)) == "too_large"
    await arrived(got, 1)
    assert client.ended == []


async def test_a_value_that_is_too_large_is_not_looked_at(served: Running, client: Client) -> None:
    huge = "[" + "[]," * served.gateway.max_payload_bytes  # no JSON, which nobody finds out
    assert await client.error(f'27["OUT",{huge}]') == "too_large"
    assert await client.error(f'27["SUM",{huge}]') == "too_large"
    assert await client.error(f'27["NOPE",{huge}]') == "unknown_channel"
    assert await client.error(f'27["wsgw:subscribe",{huge}]') == "unknown_channel"
    assert served.value("wsgw_publish_errors_total", channel="OUT", reason="too_large") == 1
    assert client.ended == []


async def test_what_a_service_cannot_be_given_is_refused_alone(nats: NatsServer, peer: Peer) -> None:
    """Each event of a tick is looked at, where not all that is small enough can be published."""
    got = await peer.listen("bounds.say")
    channels = [{"name": "SAY", "direction": "outbound", "hemera": {"topic": "bounds.say"}}]
    async with running(nats.url, channels=channels) as served:
        client = Client(served, {})
        await client.opened()
        for id, text in enumerate(("{}", "", "x", "{}")):
            client.send(f'2{id}["SAY","{text}"]')
        packets = sorted(await client.received(4))
        assert ["bad_request" in packet for packet in packets] == [False, True, True, False]
        assert (packets[0], packets[3]) == ("430[true]", "433[true]")
        assert served.value("wsgw_publish_errors_total", channel="SAY", reason="bad_request") == 2
        await arrived(got, 2)
        await client.stop()


@pytest.mark.parametrize(("count", "said"), [(2, "2"), (14, "14"), (15, "15 or more"), (99, "15 or more")])
async def test_more_than_one_argument(client: Client, count: int, said: str) -> None:
    client.send('27["OUT"' + ",1" * count + "]")
    assert f"the event has {said}" in (await client.received(1))[0]


@pytest.mark.parametrize("event", ["x" * 100_000, "wsgw:subscribe", "wsgw:unsubscribe"])
async def test_a_name_is_not_told_at_any_length(client: Client, event: str) -> None:
    client.send(f'27["{event}","{"y" * 100_000}"]')
    assert len((await client.received(1))[0]) < 1000


async def test_what_is_refused_in_a_tick_is_answered_together(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    send_each = Sender.send_each

    def counting(sender: Sender, messages: Sequence[Message]) -> None:
        sent.append(len(messages))
        send_each(sender, messages)

    monkeypatch.setattr(Sender, "send_each", counting)
    for number in range(100):
        client.send(f'2{number}["{("NOPE", "IN", "chat.*")[number % 3]}","x"]')
    packets = await client.received(100)
    assert sent == [100]
    assert {int(packet[2 : packet.index("[")]) for packet in packets} == set(range(100))


async def test_waiting_requests_are_bounded(
    served: Running, client: Client, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.gateway.edge, "limits", LimitsSettings(session_requests=2))
    asked = await peer.listen("math.sum")
    for _ in range(2):
        client.send('2["SUM","x"]')
    assert await client.error('27["SUM","x"]') == "overloaded"
    assert await client.ack('27["wsgw:subscribe","chat.1"]') is True
    await arrived(asked, 2)
    assert served.value("wsgw_publish_errors_total", channel="SUM", reason="overloaded") == 1


async def test_names_are_joined_and_left_in_turns(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"chat.{number}" for number in range(2 * MOST_LEFT_AT_ONCE)]
    client = Client(served, {"channels": ",".join(names)})
    joined: list[int] = []

    def counting(items: Iterable[str], do: Callable[[str], None]) -> Work:
        done: list[str] = []

        def counted(name: str) -> None:
            do(name)
            done.append(name)

        work = one_by_one(items, counted)

        def turn(until: float) -> bool:
            before = len(done)
            more = work(until)
            joined.append(len(done) - before)
            return more

        return turn

    monkeypatch.setattr(subscriptions, "one_by_one", counting)
    monkeypatch.setattr(slices, "monotonic", lambda: math.inf)
    assert (await client.opened()).startswith("40")
    assert joined == [1] * len(names) + [0]
    assert served.value("wsgw_subjects", channel="chat.*") == len(names)
    client.send("1")
    assert served.value("wsgw_subjects", channel="chat.*") == len(names)
    for name in names:
        served.gateway.hub.publish(name, Publication("x", b"x", 0.0))
    served.gateway.hub.flush()
    assert not client.sender
    await eventually(lambda: served.value("wsgw_subjects", channel="chat.*") == 0, "all are left")
    await client.stop()


@pytest.mark.parametrize("asked", ["chat.1,chat.2,IN", "NOPE,chat.1,IN", None])
async def test_to_connect_again_counts_as_much_as_it_costs(served: Running, asked: str | None) -> None:
    client = Client(served, {} if asked is None else {"channels": asked})
    refused = (await client.opened()).startswith("44")
    assert client.needless_packets == 0
    for again in (1, 2):
        if not refused:
            client.send("1")
        await client.opened()
        assert client.needless_packets == again * (1 + 3)
    await client.stop()


async def test_names_of_a_handshake_are_bounded_and_count(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.gateway.edge, "limits", LimitsSettings(session_names=2))
    most = 2 + len(served.gateway.channels.inbound())
    client = Client(served, {"channels": ",".join(f"chat.{number}" for number in range(1000))})
    for _ in range(2):
        answer = await client.opened()
        assert answer.startswith("44")
        assert f"more than {most} channels" in answer
        assert client.kept_bytes == (most + 1) * (len("chat.1") + NAME_BYTES)
    await client.stop()
    client = Client(served, {"channels": "IN,IN,chat.1" + ",IN" * 100})
    assert (await client.opened()).startswith("40")
    assert client.kept_bytes == len("INchat.1") + 2 * NAME_BYTES
    await client.stop()


async def test_waiting_subscriptions_take_one_task_and_count(client: Client) -> None:
    before, tasks = client.kept_bytes, len(asyncio.all_tasks())
    for number in range(100):
        client.send(f'2{number}["wsgw:subscribe","chat.{number}"]')
        client.send(f'2["wsgw:unsubscribe","chat.{number}"]')
    assert len(asyncio.all_tasks()) == tasks + 1
    assert client.kept_bytes > before + 200 * subscriptions.CHANGE_BYTES
    assert [packet[-6:] for packet in await client.received(100)] == ["[true]"] * 100
    await eventually(lambda: client.kept_bytes == before, "nothing waits")
    client.send('2["wsgw:subscribe","chat.1"]')
    client.send('2["wsgw:subscribe","chat.2"]')
    client.send("1")
    assert client.kept_bytes == before


async def test_what_is_refused_is_not_encoded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "payload_of", None)
    assert await client.error('27["NOPE","x"]') == "unknown_channel"
    assert await client.error('27["wsgw:subscribe","x"]') == "unknown_channel"


@pytest.mark.parametrize("name", ["OUT", "SUM"])
async def test_what_is_too_large_is_not_encoded(served: Running, name: str) -> None:
    class Text(str):
        def encode(self, *_: object, **__: object) -> bytes:
            raise AssertionError("it is encoded")

    outlet = served.gateway.outlets.find(name, "socketio")
    assert isinstance(outlet, Outlet)
    with pytest.raises(GatewayError) as refused:
        payload_of(Text("x" * (served.gateway.max_payload_bytes + 1)), outlet)
    assert refused.value.kind is TOO_LARGE


async def test_waiting_subscriptions_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_CHANGES", 2)
    for number in range(3):
        client.send(f'2{number}["wsgw:subscribe","chat.{number}"]')
    packets = await client.received(3)
    assert [packet for packet in packets if "error" not in packet] == ["430[true]", "431[true]"]
    assert ['"overloaded"' in packet for packet in packets if packet.startswith("432")] == [True]

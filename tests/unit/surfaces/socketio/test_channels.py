"""Event names are channels: the namespace ``/`` on a gateway, under a port that writes down what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.access.principal import Principal
from wsgw.access.rules import AllowAll
from wsgw.core import backpressure
from wsgw.core.receiving import Receiving
from wsgw.fanout.publication import Publication

from .client import Client


async def test_every_inbound_channel_unless_told(served: Running, peer: Peer) -> None:
    client = Client(served, {})
    await client.opened()
    assert served.value("wsgw_connections", transport="socketio") == 1
    for channel in ("IN", "BOTH", "chat.*"):
        await eventually(lambda: served.value("wsgw_subscriptions", channel=channel) == 1, channel)  # noqa: B023
    await peer.publish("IN", "é", b"\xff")
    await peer.publish("rooms.1", "x")
    assert await client.received(4) == [
        '42["IN","é"]',
        '451-["IN",{"_placeholder":true,"num":0}]',
        b"\xff",
        '42["chat.*","x"]',
    ]
    await client.stop()
    assert served.value("wsgw_connections", transport="socketio") == 0
    assert served.value("wsgw_subscriptions", channel="IN") == 0


@pytest.mark.parametrize(
    ("asked", "names"), [("IN", {"IN"}), ("IN, chat.7,IN", {"IN", "chat.7"}), ("", set()), ("chat.*", {"chat.*"})]
)
async def test_those_asked_for(served: Running, asked: str, names: set[str]) -> None:
    client = Client(served, {"channels": asked})
    assert (await client.opened()).startswith("40")
    for name in ("IN", "BOTH", "chat.*", "chat.7"):
        served.gateway.hub.publish(name, Publication("x", b"x", 0.0))
    served.gateway.hub.flush()
    packets = await client.received(len(names)) if names else []
    assert {json.loads(packet[2:])[0] for packet in packets} == names
    await client.stop()


@pytest.mark.parametrize(
    ("asked", "code"), [("NOPE", "unknown_channel"), ("IN,OUT", "wrong_direction"), ("IN,,BOTH", "unknown_channel")]
)
async def test_refused_connect(served: Running, asked: str, code: str) -> None:
    client = Client(served, {"channels": asked})
    answer = await client.opened()
    assert answer.startswith("44")
    data = json.loads(answer[2:])
    assert data["data"]["error"]["code"] == code
    assert data["message"] == data["data"]["error"]["message"]
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_rejected_total", reason=code) == 1
    assert served.value("wsgw_connections", transport="socketio") == 0
    await client.stop()


async def test_refused_while_draining(served: Running) -> None:
    served.gateway.drain.begin()
    client = Client(served, {})
    assert '"draining"' in await client.opened()
    await client.stop()


@pytest.mark.parametrize(
    ("argument", "payload"),
    [
        ('"text"', b"text"),
        ('""', b""),
        ('"é\\u0000\\ud83d\\ude00"', "é\0😀".encode()),
        ('{"b": 1.0, "a": [1, 2]}', b'{"b": 1.0, "a": [1, 2]}'),
        ('{"toString":1}', b'{"toString":1}'),
        ("42", b"42"),
        ("1.5", b"1.5"),
        ("true", b"true"),
        ("null", b"null"),
        ('[1,"x",{}]', b'[1,"x",{}]'),
    ],
)
async def test_arguments_become_payloads(client: Client, peer: Peer, argument: str, payload: bytes) -> None:
    got = await peer.listen("OUT")
    assert await client.ack(f'27["OUT",{argument}]') is True
    await arrived(got, 1)
    assert got == [payload]
    assert client.ended == []


async def test_binary(client: Client, peer: Peer) -> None:
    got = await peer.listen("OUT")
    assert await client.ack('51-7["OUT",{"_placeholder":true,"num":0}]', b"\xff\0") is True
    client.send('2["OUT","no ack asked"]')
    await arrived(got, 2)
    assert got == [b"\xff\0", b"no ack asked"]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ('27["NOPE","x"]', "unknown_channel"),
        ('27["IN","x"]', "wrong_direction"),
        ('27["chat.*","x"]', "unknown_channel"),
        ('27["OUT"]', "bad_request"),
        ('27["OUT","a","b"]', "bad_request"),
        ('27["OUT","\\ud800"]', "bad_request"),
        ('27["SUM","x"]', "no_responders"),
        ('27["wsgw:subscribe"]', "bad_request"),
        ('27["wsgw:subscribe","NOPE"]', "unknown_channel"),
        ('27["wsgw:subscribe","OUT"]', "wrong_direction"),
        ('27["wsgw:unsubscribe","BOTH"]', "bad_request"),
        ('27["wsgw:other","x"]', "unknown_channel"),
    ],
)
async def test_errors_are_acks(client: Client, packet: str, code: str) -> None:
    assert await client.error(packet) == code
    assert client.ended == []


async def test_subscribing_and_leaving_happen_in_the_order_they_came_in(served: Running, client: Client) -> None:
    for id, event in enumerate(("subscribe", "unsubscribe", "subscribe", "unsubscribe")):
        client.send(f'2{id}["wsgw:{event}","chat.9"]')
    assert await client.received(4) == [f"43{id}[true]" for id in range(4)]
    assert await client.error('27["wsgw:unsubscribe","chat.9"]') == "bad_request"


@pytest.mark.parametrize("event", ["wsgw:subscribe", "wsgw:unsubscribe"])
async def test_a_channel_name_that_is_not_text(client: Client, event: str) -> None:
    packet = f'51-7["{event}",{{"_placeholder":true,"num":0}}]'
    assert await client.error(packet, b"\xff") in ("bad_request", "unknown_channel")
    assert client.ended == []


class Admitting(AllowAll):
    """Writes down whom."""

    def __init__(self) -> None:
        self.admitted: list[Principal] = []

    def admit(self, principal: Principal) -> None:
        assert principal.handshake is not None
        self.admitted.append(principal)


async def test_a_client_that_connects_again(served: Running, peer: Peer) -> None:
    """It is who it was, with what its handshake asked for, though that is forgotten."""
    client = Client(served, {"channels": "IN"})
    rules = served.gateway.rules = Admitting()
    await client.opened()
    assert (client.sockets.handshake.query, client.sockets.handshake.headers) == ({}, {})
    client.send("1")
    await client.opened()
    await peer.publish("BOTH", "not asked for")
    await peer.publish("IN", "x")
    assert await client.received(1) == ['42["IN","x"]']
    assert len(rules.admitted) == 1
    await client.stop()


async def test_subscribe_and_unsubscribe(served: Running, client: Client, peer: Peer) -> None:
    assert await client.ack('27["wsgw:subscribe","chat.7"]') is True
    assert await client.ack('27["wsgw:subscribe","chat.7"]') is True
    await peer.publish("rooms.7", "a")
    assert await client.received(1) == ['42["chat.7","a"]']
    assert await client.ack('27["wsgw:unsubscribe","chat.7"]') is True
    assert await client.error('27["wsgw:unsubscribe","chat.7"]') == "bad_request"
    await peer.publish("rooms.7", "b")
    await peer.publish("IN", "c")
    assert await client.received(1) == ['42["IN","c"]']
    assert await client.ack('27["wsgw:unsubscribe","IN"]') is True
    assert served.value("wsgw_subscriptions", channel="IN") == 0


async def test_requests(client: Client, peer: Peer) -> None:
    await peer.answer("math.sum", lambda payload: payload[::-1])
    assert await client.ack('27["SUM","12"]') == "21"
    client.send('27["SUM","é"]')
    assert await client.received(2) == ['461-7[{"_placeholder":true,"num":0}]', "é".encode()[::-1]]
    client.send('2["SUM","nobody asks for the reply"]')
    assert await client.ack('27["SUM","x"]') == "x"


async def test_exact_beats_pattern(nats: NatsServer, peer: Peer) -> None:
    """An outbound channel beside a request pattern that its name matches takes messages, and asks nobody."""
    channels = [{"name": "svc.*", "direction": "request"}, {"name": "svc.a", "direction": "outbound"}]
    heard = await peer.listen("svc.a")
    await peer.answer("svc.b", lambda payload: payload * 2)
    async with running(nats.url, channels=channels) as served:
        client = Client(served, {})
        await client.opened()
        assert await client.ack('27["svc.a","x"]') is True
        assert await client.ack('27["svc.b","x"]') == "xx"
        assert await client.ack('27["svc.a","y"]') is True
        await arrived(heard, 2)
        assert heard == [b"x", b"y"]
        assert served.value("wsgw_published_messages_total", channel="svc.a", transport="socketio") == 2
        assert served.value("wsgw_request_seconds_count", channel="svc.*") == 1
        await client.stop()


async def test_a_channel_of_its_own_beside_a_pattern(nats: NatsServer, peer: Peer) -> None:
    """Subscribing and sending are found apart."""
    channels = [
        {"name": "chat.*", "direction": "both", "subject": "rooms.*"},
        {"name": "chat.vip", "direction": "inbound", "subject": "stage"},
    ]
    rooms = await peer.listen("rooms.vip")
    async with running(nats.url, channels=channels) as served:
        client = Client(served, {"channels": "chat.vip"})
        await client.opened()
        assert await client.ack('27["chat.vip","to the room"]') is True
        await arrived(rooms, 1)
        await peer.publish("stage", "from the stage")
        assert await client.received(1) == ['42["chat.vip","from the stage"]']
        await client.stop()


async def test_without_nats(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    server.stop()
    async with running(server.url, ready=False) as served:
        client = Client(served, {})
        assert (await client.opened()).startswith("40")
        assert await client.error('27["OUT","x"]') == "nats_unavailable"
        assert await client.error('27["SUM","x"]') == "nats_unavailable"
        await client.stop()


async def test_denied_subjects(start_server: Callable[..., NatsServer]) -> None:
    rule = '{{publish: {{deny: ["OUT"]}}, subscribe: {{deny: ["{}"]}}}}'
    users = "authorization {{users = [{{user: u, password: p, permissions: {}}}]}}"
    server = start_server(users.format(rule.format("rooms.secret")))
    async with running(server.url.replace("//", "//u:p@")) as served:
        client = Client(served, {"channels": "chat.1"})
        assert (await client.opened()).startswith("40")
        assert await client.error('27["OUT","x"]') == "forbidden"
        assert await client.error('27["wsgw:subscribe","chat.secret"]') == "forbidden"
        refused = Client(served, {"channels": "chat.1,chat.secret"})
        assert '"forbidden"' in await refused.opened()
        assert client.ended == []
        server.reload(users.format(rule.format("rooms.1")))
        await eventually(lambda: client.ended == [("close", 4503)], "NATS took it back: closed")
        await client.stop()
        await refused.stop()


async def test_the_client_leaves_while_connecting(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    async with running(server.url) as served:
        server.freeze()
        client = Client(served, {"channels": "chat.1"})
        client.send("0")
        bridges: Any = served.gateway.bridges._bridges["chat.*"]
        await eventually(lambda: bridges._interests, "it joins")
        await client.stop()
        assert not bridges._interests["chat.1"].sessions
        server.thaw()


async def test_events_before_the_answer_to_connect(start_server: Callable[..., NatsServer]) -> None:
    """However long NATS takes: they are published behind the answer, or not at all."""
    server = start_server()
    async with running(server.url) as served:
        peer = await Peer.connect(server.url)
        heard = await peer.listen("OUT")
        server.freeze()
        early, gone = Client(served, {"channels": "chat.1"}), Client(served, {"channels": "chat.2"})
        for client in (early, gone):
            client.send("0")
            client.send('27["OUT","stray"]' if client is gone else '27["OUT","early"]')
        gone.send("1")
        await asyncio.sleep(0.1)
        assert (early.ended, gone.ended) == ([], [])
        server.thaw()
        assert [packet[:3] for packet in await early.received(2)] == ["40{", "437"]
        await arrived(heard, 1)
        await peer.publish("OUT", "last")
        await arrived(heard, 2)
        assert heard == [b"early", b"last"]
        for client in (early, gone):
            await client.stop()
        await peer.close()


async def test_drain(served: Running, client: Client) -> None:
    await served.gateway.drain.run()
    assert client.ended == [("close", 1001)]
    assert served.value("wsgw_closes_total", code="1001") == 1


async def test_a_drain_that_has_no_time_drops_the_client(served: Running, client: Client) -> None:
    """``close`` would wait for a client that takes nothing; that is what the drain has just done."""
    (drainable,) = served.gateway.drain._clients
    drainable.abort()
    assert client.ended == [("fail", 1006)]


async def test_a_burst_to_two_channels(served: Running, client: Client, peer: Peer) -> None:
    """What comes together is published together, but what is wrong in it is wrong alone."""
    out, both = await peer.listen("OUT"), await peer.listen("BOTH")
    huge = "x" * (served.gateway.broker.max_payload_bytes + 1)
    for number, (name, text) in enumerate([("OUT", "a"), ("OUT", "b"), ("BOTH", "c"), ("OUT", huge), ("OUT", "d")]):
        client.send(f'2{number}["{name}","{text}"]')
    client.send('2["OUT","e"]')
    packets = await client.received(5)
    assert sorted(packet for packet in packets if '"error"' not in packet) == [f"43{n}[true]" for n in (0, 1, 2, 4)]
    assert [packet[:3] for packet in packets if '"too_large"' in packet] == ["433"]
    await eventually(lambda: len(out) == 4, "the publications")
    assert (out, both) == ([b"a", b"b", b"d", b"e"], [b"c"])
    assert served.value("wsgw_published_messages_total", channel="OUT", transport="socketio") == 4
    assert served.value("wsgw_publish_errors_total", channel="OUT", reason="too_large") == 1


@pytest.mark.parametrize("packet", ["1", None])
async def test_what_a_client_sent_before_it_left(client: Client, peer: Peer, packet: str | None) -> None:
    heard = await peer.listen("OUT")
    client.send('21["OUT","last"]')
    if packet is None:
        client.sockets.closed(1006)
    else:
        client.send(packet)
    await eventually(lambda: len(heard) == 1, "the publication")


async def test_a_client_with_much_out_is_held(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "MAX_UNSETTLED_MESSAGES", 10)
    client = Client(served, {})
    await client.opened()
    for number in range(30):
        client.send(f'2{number}["OUT","x"]')
    await eventually(lambda: client.held == [True, False], "held, and released")


async def test_a_channel_that_goes_while_a_client_connects_that_asked_for_nothing(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Receiving, "inbound", lambda _: ["IN", "gone", "OUT"])
    client = Client(served, {})
    assert (await client.opened()).startswith("40")
    assert served.value("wsgw_subscriptions", channel="IN") == 1
    await client.stop()

"""Event names are channels: the namespace ``/`` on a gateway, under a port that writes down what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.core import backpressure as holdback
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio import channels as module
from wsgw.surfaces.socketio.channels import ChannelsNamespace


class Client:
    """A Socket.IO client below whose ``Multiplexer`` there is no Engine.IO: packets are put in and taken out."""

    def __init__(self, served: Running, query: dict[str, str]) -> None:
        gateway = served.gateway
        self.namespace = ChannelsNamespace(gateway)
        self.sender = Sender(gateway.metrics, gateway.totals, "socketio")
        handshake = Handshake("/socket.io/", query, {}, "")
        self.sockets = Multiplexer(self, self.sender, handshake, {"/": self.namespace}, lambda: 10 * 1024 * 1024)
        self.ended: list[tuple[str, int]] = []
        self.packets: list[Any] = []
        self.held: list[bool] = []
        self._task: asyncio.Task[None] | None = None

    def connect(self, socket: Socket, auth: Json | None) -> None:
        self._task = asyncio.get_running_loop().create_task(self._connect(socket, auth))

    def give_up(self, socket: Socket) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _connect(self, socket: Socket, auth: Json | None) -> None:
        try:
            handler = await self.namespace.connect(socket, auth)
        except ConnectRefused as refusal:
            self.sockets.refuse(socket, refusal)
        else:
            self.sockets.accept(socket, handler)

    def close(self, code: int) -> None:
        self.ended.append(("close", code))
        self.sockets.closed(code)

    def fail(self, code: int) -> None:
        self.ended.append(("fail", code))
        self.sockets.closed(code)

    def hold(self) -> None:
        self.held.append(True)

    def release(self) -> None:
        self.held.append(False)

    def send(self, data: str | bytes) -> None:
        self.sockets.message_received(data)

    async def opened(self) -> str:
        """Connect; the answer."""
        self.send("0")
        assert self._task is not None
        await self._task
        return str((await self.received(1))[0])

    async def received(self, count: int) -> list[Any]:
        """The next ``count`` messages to the client."""
        self.packets.clear()

        def enough() -> object:
            for item in self.sender.take(10**6, 10**9):
                self.packets += [m.data.decode() if m.text else m.data for m in item.messages]
            return len(self.packets) >= count or self.ended

        await eventually(enough, f"{count} messages, got {self.packets}")
        assert len(self.packets) == count
        return list(self.packets)

    async def ack(self, packet: str, *attachments: bytes) -> Any:
        """Send an event with id 7; what its ack carries."""
        self.send(packet)
        for attachment in attachments:
            self.send(attachment)
        answer = str((await self.received(1))[0])
        assert answer.startswith("437["), answer
        (argument,) = json.loads(answer[3:])
        return argument

    async def error(self, packet: str, *attachments: bytes) -> str:
        return str((await self.ack(packet, *attachments))["error"]["code"])

    async def stop(self) -> None:
        self.sockets.closed(1006)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    async with running(nats.url) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def client(served: Running) -> AsyncIterator[Client]:
    made = Client(served, {"channels": "IN"})
    assert (await made.opened()).startswith('40{"sid":')
    yield made
    await made.stop()


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
    hub = served.gateway.hub
    assert {name for name in ("IN", "BOTH", "chat.*", "chat.7") if hub.has(name)} == names
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
    assert not served.gateway.hub.has("IN")
    assert served.value("wsgw_rejected_total", reason=code) == 1
    assert served.value("wsgw_connections", transport="socketio") == 0
    await client.stop()


async def test_refused_while_draining(served: Running) -> None:
    served.gateway.draining = True
    client = Client(served, {})
    assert '"draining"' in await client.opened()
    await client.stop()


@pytest.mark.parametrize(
    ("argument", "payload"),
    [
        ('"text"', b"text"),
        ('""', b""),
        ('"é\\u0000\\ud83d\\ude00"', "é\0😀".encode()),
        ('{"b": 1.0, "a": [1, 2]}', b'{"b":1.0,"a":[1,2]}'),
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
    assert got == [payload] or json.loads(got[0]) == json.loads(payload)
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


@pytest.mark.parametrize("event", ["wsgw:subscribe", "wsgw:unsubscribe"])
async def test_a_channel_name_that_is_not_text(client: Client, event: str) -> None:
    packet = f'51-7["{event}",{{"_placeholder":true,"num":0}}]'
    assert await client.error(packet, b"\xff") in ("bad_request", "unknown_channel")
    assert client.ended == []


async def test_too_large(client: Client, peer: Peer) -> None:
    got = await peer.listen("OUT")
    packet = '51-7["OUT",{"_placeholder":true,"num":0}]'
    assert await client.ack(packet, bytes(1024 * 1024)) is True
    assert await client.error(packet, bytes(1024 * 1024 + 1)) == "too_large"
    await arrived(got, 1)
    assert client.ended == []


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


async def test_waiting_requests_are_bounded(client: Client, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TASKS", 2)
    await peer.listen("math.sum")
    for _ in range(2):
        client.send('2["SUM","x"]')
    assert await client.error('27["SUM","x"]') == "overloaded"


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
        bridges: Any = served.gateway._bridges["chat.*"]
        await eventually(lambda: bridges._interests, "it joins")
        await client.stop()
        assert bridges._interests["chat.1"].sessions == []
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
    await served.gateway.drain(1)
    assert client.ended == [("close", 1001)]
    assert served.value("wsgw_closes_total", code="1001") == 1


async def test_a_drain_that_has_no_time_drops_the_client(served: Running, client: Client) -> None:
    """``close`` would wait for a client that takes nothing; that is what the drain has just done."""
    (drainable,) = served.gateway._clients
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
    monkeypatch.setattr(holdback, "MAX_UNSETTLED_MESSAGES", 10)
    client = Client(served, {})
    await client.opened()
    for number in range(30):
        client.send(f'2{number}["OUT","x"]')
    await eventually(lambda: client.held == [True, False], "held, and released")

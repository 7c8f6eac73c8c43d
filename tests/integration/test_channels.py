"""The contract with clients, its second half: what names mean, and what is refused. See test_contract."""

from __future__ import annotations

import asyncio

import pytest

from helpers.client import Refused, Transport
from helpers.client_socketio import SocketIOTransport, error_of
from helpers.gateway import GatewayProcess
from helpers.mark import MARK, sent, until_mark
from helpers.peer import Peer
from helpers.waiting import arrived, eventually


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("NOWHERE", "unknown_channel"),
        ("IN", "wrong_direction"),
        ("chat.a.b", "unknown_channel"),
        ("chat.*", "unknown_channel"),
        ("chat.>", "unknown_channel"),
        ("deep.x", "wrong_direction"),
        ("market.quotes.eu", "unknown_channel"),
    ],
)
async def test_publishing_where_one_may_not(
    transport: Transport, gateway: GatewayProcess, peer: Peer, channel: str, error: str
) -> None:
    heard = await peer.listen("OUT")
    stray = await peer.listen(">")
    client = await transport.open(gateway, "IN2")
    await client.send(channel, "stray")
    await client.send("OUT", "good")
    assert await client.confirm() == [error]
    await arrived(heard, 1)
    assert b"stray" not in stray
    if transport.acks:
        await peer.publish("IN2", MARK)
        assert await until_mark(client, "IN2") == []


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("NOWHERE", "unknown_channel"),
        ("sum", "wrong_direction"),
        ("chat.>", "unknown_channel"),
        ("deep", "unknown_channel"),
        ("very.deep.x", "unknown_channel"),
    ],
)
async def test_subscribing_where_one_may_not(
    transport: Transport, gateway: GatewayProcess, channel: str, error: str
) -> None:
    with pytest.raises(Refused) as refused:
        await transport.open(gateway, channel)
    assert refused.value.code == error


async def test_subscribing_to_an_outbound_channel(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    """A plain WebSocket has to open OUT to publish there; it hears nothing."""
    if transport.acks:
        with pytest.raises(Refused) as refused:
            await transport.open(gateway, "OUT")
        assert refused.value.code == "wrong_direction"
        return
    client = await transport.open(gateway, "OUT", "IN")
    await peer.publish("OUT", "not for clients")
    await peer.publish("IN", MARK)
    await until_mark(client)
    assert sent(client, "OUT") == []


async def test_patterns(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    one = await transport.open(gateway, "chat.room1")
    both = await transport.open(gateway, "chat.room1", "chat.room2", "deep.a.b")
    every = await transport.open(gateway, "chat.*")
    for client in (one, both, every):  # also those that came before the pattern's subscription took over
        assert client.received == []
    await peer.publish("chat.room1", "in 1")
    await peer.publish("chat.room2", "in 2")
    await peer.publish("chat.room3", "in 3")
    await peer.publish("very.deep.a.b", "deep")
    await peer.publish("chat.room1", MARK)
    await peer.publish("chat.room2", MARK)
    assert await until_mark(one, "chat.room1") == ["in 1"]
    assert await until_mark(both, "chat.room1") == ["in 1"]
    assert await until_mark(both, "chat.room2") == ["in 2"]
    await eventually(lambda: sent(both, "deep.a.b") == ["deep"], "the message of the deep pattern")
    await arrived(every.received, 5)
    assert sorted(map(str, sent(every, "chat.*"))) == ["in 1", "in 2", "in 3", MARK, MARK]
    await one.send("chat.room3", "from a client")
    await arrived(every.received, 6)
    assert every.received[-1] == ("chat.*", "from a client")


async def test_sockets_that_ask_for_nothing_get_everything(
    transport: Transport, gateway: GatewayProcess, peer: Peer
) -> None:
    """As with the original, the events of a pattern channel are named by the pattern."""
    if not transport.acks:
        pytest.skip("a plain WebSocket names its channel")
    client = await transport.open(gateway, everything=True)
    for subject in ("IN", "IN2", "OUT", "BOTH", "market.quotes.eu", "chat.room1", "very.deep.a.b", "math.sum"):
        await peer.publish(subject, subject)
    await arrived(client.received, 6)
    await peer.publish("IN", MARK)
    await until_mark(client)
    await client.close()
    assert sorted(map(str, client.received[:-1])) == sorted(
        str(pair)
        for pair in [
            ("IN", "IN"),
            ("IN2", "IN2"),
            ("BOTH", "BOTH"),
            ("prices", "market.quotes.eu"),
            ("chat.*", "chat.room1"),
            ("deep.>", "very.deep.a.b"),
        ]
    )


async def test_several_channels(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "IN", "IN2", "prices")
    heard = await peer.listen("market.quotes.eu")
    for i in range(100):
        await peer.publish("IN", f"a{i}")
        await peer.publish("IN2", f"b{i}")
        await client.send("prices", f"c{i}")
    await arrived(client.received, 300)
    assert sent(client, "IN") == [f"a{i}" for i in range(100)]
    assert sent(client, "IN2") == [f"b{i}" for i in range(100)]
    assert sent(client, "prices") == [f"c{i}" for i in range(100)]
    assert heard == [b"c%d" % i for i in range(100)]


async def test_requests(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    await peer.answer("math.sum", lambda question: b"answer to " + question)
    client = await transport.open(gateway, "IN")
    if not transport.acks:
        with pytest.raises(Refused) as refused:
            await client.request("sum", "1+1")
        assert refused.value.code == "wrong_direction"
        return
    assert await client.request("sum", "1+1") == "answer to 1+1"
    assert await client.request("sum", b"\xff") == b"answer to \xff"
    many = await asyncio.gather(*(client.request("sum", str(i)) for i in range(200)))
    assert many == [f"answer to {i}" for i in range(200)]


async def test_requests_without_an_answer(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    if not transport.acks:
        pytest.skip("request channels are refused on a plain WebSocket")
    client = await transport.open(gateway, "IN")
    with pytest.raises(Refused) as refused:
        await client.request("silent", "?")
    assert refused.value.code == "no_responders"
    asked = await peer.listen("silent")
    with pytest.raises(Refused) as refused:
        await client.request("silent", "?")
    assert refused.value.code == "timeout"
    assert asked == [b"?"]
    assert client.connected


async def test_goodbyes_are_counted(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "greetings")
    assert gateway.metric("wsgw_subscriptions", channel="greetings") == 1
    assert gateway.metric("wsgw_connections", transport="socketio" if transport.acks else "websocket") >= 1
    await client.close()
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="greetings") == 0, "the client is gone")


@pytest.mark.parametrize(
    ("argument", "published"),
    [
        ({"b": 1.0, "a": [1, {"x": None}]}, b'{"b":1.0,"a":[1,{"x":null}]}'),
        ([1, "x", {}], b'[1,"x",{}]'),
        (42, b"42"),
        (1.5, b"1.5"),
        (12345678901234567890123, b"12345678901234567890123"),
        (True, b"true"),
        (None, b"null"),
        ({"toString": 1}, b'{"toString":1}'),
        ("", b""),
        (b"", b""),
    ],
)
async def test_arguments_of_socketio_events(
    gateway: GatewayProcess, peer: Peer, socketio: SocketIOTransport, argument: object, published: bytes
) -> None:
    """Strings and binary as they are, other JSON as its text."""
    heard = await peer.listen("OUT")
    client = await socketio.open(gateway)
    assert error_of(await (await client.emit("OUT", argument))) is None
    await arrived(heard, 1)
    assert heard == [published]

"""The contract with clients: one suite, run over every library and transport.

Nothing is slept for: a last message, the mark, tells that everything before it has come or never will.
"""

from __future__ import annotations

import asyncio

import pytest
from helpers.client import Client, Refused, Transport
from helpers.gateway import GatewayProcess
from helpers.peer import Peer
from helpers.waiting import arrived, eventually

MESSAGES = 10_000
MAX_PAYLOAD_BYTES = 1024 * 1024  # nats-server's default
MARK = b"the mark"

TEXTS = [
    "hello",
    "",
    "äöü € 𝄞 \u2028",
    "\ufeffwith a byte order mark",
    "a\0b",
    'line 1\nline 2\r\n\ttab "quoted" \\ \x7f',
    '{"b" : 1.0,  "a":12345678901234567890123, "a": 1e400}\n',
    " [1, 2.50 ,3] ",
    '"text"',
    "null",
    '42["IN","x"]',
    '{"_placeholder":true,"num":0}',
]
BINARIES = [b"\xff", b"\x00\xfe\xff\x80", b"ab\xc3", b"\xed\xa0\x80", bytes(range(256)) * 40]
LARGEST = [
    "x" * MAX_PAYLOAD_BYTES,
    "\x01" * MAX_PAYLOAD_BYTES,  # each byte is six in a JSON string
    b"\xff" * MAX_PAYLOAD_BYTES,
]


def sent(client: Client, channel: str) -> list[str | bytes]:
    return [payload for name, payload in client.received if name == channel]


async def until_mark(client: Client, channel: str = "IN") -> list[str | bytes]:
    """The payloads that came on ``channel`` before the mark."""
    await eventually(lambda: MARK.decode() in sent(client, channel), f"the mark on {channel}")
    payloads = sent(client, channel)
    assert payloads.pop() == MARK.decode()
    return payloads


@pytest.mark.parametrize("payloads", [[*TEXTS, *BINARIES], LARGEST], ids=["kinds", "largest"])
async def test_payloads_to_clients(
    transport: Transport, gateway: GatewayProcess, peer: Peer, payloads: list[str | bytes]
) -> None:
    client = await transport.open(gateway, "IN")
    await peer.publish("IN", *payloads, MARK)
    assert await until_mark(client) == payloads


@pytest.mark.parametrize("payloads", [[*TEXTS, *BINARIES], LARGEST], ids=["kinds", "largest"])
async def test_payloads_from_clients(
    transport: Transport, gateway: GatewayProcess, peer: Peer, payloads: list[str | bytes]
) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway)
    for payload in payloads:
        await client.send("OUT", payload)
    assert await client.confirm() == []
    await arrived(heard, len(payloads))
    assert heard == [payload.encode() if isinstance(payload, str) else payload for payload in payloads]


async def test_order_to_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "IN")
    numbers = [str(i) for i in range(MESSAGES)]
    await peer.publish("IN", *numbers)
    await arrived(client.received, MESSAGES)
    assert sent(client, "IN") == numbers


async def test_order_from_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway)
    for i in range(MESSAGES):
        await client.send("OUT", str(i))
    assert await client.confirm() == []
    await arrived(heard, MESSAGES)
    assert heard == [b"%d" % i for i in range(MESSAGES)]


async def test_joining_while_messages_flow(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    """From the first message on nothing is missing, doubled or out of order, whatever the transport does meanwhile."""
    stop = asyncio.Event()

    async def flow() -> int:
        number = 0
        while not stop.is_set():
            await peer.publish("IN", *(str(number + i) for i in range(20)))
            number += 20
            await asyncio.sleep(0.005)  # the rate, about 2,000 messages a second
        return number

    flowing = asyncio.create_task(flow())
    clients = await asyncio.gather(*(transport.open(gateway, "IN") for _ in range(5)))
    if transport.upgrades:
        await eventually(lambda: all(client.upgraded for client in clients), "the upgrade")
    for client in clients:
        await arrived(client.received, 1000)
    stop.set()
    last = await flowing - 1
    for client in clients:
        await eventually(lambda client=client: client.received[-1][1] == str(last), "the last message")  # type: ignore[misc]
        numbers = [int(payload) for _, payload in client.received]
        assert numbers == list(range(numbers[0], last + 1))


@pytest.mark.parametrize("payload", ["x" * (MAX_PAYLOAD_BYTES + 1), b"\xff" * (MAX_PAYLOAD_BYTES + 1)])
async def test_too_large(
    transport: Transport, gateway: GatewayProcess, peer: Peer, payload: str | bytes
) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway, "IN")
    await client.send("OUT", "before")
    await client.send("OUT", payload)
    assert await client.confirm() == ["too_large"]
    if transport.acks:
        await client.send("OUT", "after")
        assert await client.confirm() == []
        await peer.publish("IN", MARK)
        assert await until_mark(client) == []
    await arrived(heard, 1 + transport.acks)
    assert heard == [b"before", b"after"][: len(heard)]


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


async def test_subscribing_to_an_outbound_channel(
    transport: Transport, gateway: GatewayProcess, peer: Peer
) -> None:
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
    assert sorted(map(str, sent(every, "chat.*"))) == ["in 1", "in 2", "in 3", MARK.decode(), MARK.decode()]
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


async def test_messages_among_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    alice = await transport.open(gateway, "BOTH")
    bob = await transport.open(gateway, "BOTH")
    stranger = await transport.open(gateway, "IN")
    await alice.send("BOTH", "from alice")
    await arrived(bob.received, 1)
    await bob.send("BOTH", b"\xff from bob")
    for client in (alice, bob):
        await arrived(client.received, 2)
        assert client.received == [("BOTH", "from alice"), ("BOTH", b"\xff from bob")]
    await peer.publish("IN", MARK)
    assert await until_mark(stranger) == []
    assert len(stranger.received) == 1


async def test_many_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    clients = await asyncio.gather(*(transport.open(gateway, "IN") for _ in range(50)))
    numbers = [str(i) for i in range(100)]
    await peer.publish("IN", *numbers)
    for client in clients:
        await arrived(client.received, 100)
    await peer.publish("IN", MARK)
    for client in clients:
        assert await until_mark(client) == numbers


async def test_a_client_gone_in_the_middle(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    stays = await transport.open(gateway, "IN")
    vanishes = await transport.open(gateway, "IN", alone=True)
    closes = await transport.open(gateway, "IN", alone=True)
    numbers = [str(i) for i in range(3000)]
    await peer.publish("IN", *numbers[:1000])
    await arrived(closes.received, 1)
    await closes.close()
    await peer.publish("IN", *numbers[1000:2000])
    await arrived(vanishes.received, 1)
    await vanishes.vanish()
    await peer.publish("IN", *numbers[2000:], MARK)
    assert await until_mark(stays) == numbers
    gone = [payload for _, payload in vanishes.received]
    assert gone == numbers[: len(gone)]


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


async def test_headers_and_reply_subjects_do_not_matter(
    transport: Transport, gateway: GatewayProcess, peer: Peer
) -> None:
    client = await transport.open(gateway, "IN")
    replies = await peer.listen("answers")
    await peer.nats.publish("IN", b"with headers", headers={"A": "b"})
    await peer.nats.publish("IN", b"asked", reply="answers")
    await peer.publish("IN", MARK)
    assert await until_mark(client) == ["with headers", "asked"]
    assert replies == []


async def test_goodbyes_are_counted(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    label = "socketio" if transport.acks else "websocket"
    await eventually(lambda: gateway.metric("wsgw_connections", transport=label) == 0, "nobody is connected")
    client = await transport.open(gateway, "IN")
    assert gateway.metric("wsgw_connections", transport=label) == 1
    assert gateway.metric("wsgw_subscriptions", channel="IN") == 1
    await client.close()
    await eventually(lambda: gateway.metric("wsgw_connections", transport=label) == 0, "the client is gone")
    assert gateway.metric("wsgw_subscriptions", channel="IN") == 0

"""The contract with clients: one suite, run over every library and transport. Here messages, in test_channels names.

Messages pass through one of two links, so this half runs under our server and under another ASGI server.
"""

from __future__ import annotations

import asyncio

import pytest

from helpers.client import Transport
from helpers.gateway import GatewayProcess
from helpers.mark import MARK, sent, until_mark
from helpers.peer import Peer
from helpers.transports import RECEIVING, TRANSPORTS
from helpers.waiting import arrived, eventually

#: Which server, and how clients come to it. Polling has no link: HTTP takes the same way under every server.
WAYS = [("direct", name) for name in TRANSPORTS]
WAYS += [("asgi", name) for name in ("websocket", "sio-websocket", "sio-upgrade", "npm-websocket")]
#: The same of those that only receive.
RECEIVING_WAYS = [(server, name) for name in RECEIVING for server in ("direct", "asgi")]

to_clients = pytest.mark.parametrize(("server", "transport"), WAYS + RECEIVING_WAYS, indirect=["transport"])
from_clients = pytest.mark.parametrize(("server", "transport"), WAYS, indirect=["transport"])

pytestmark = [
    # aiohttp, under python-socketio, says so of bodies over 1 MiB
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]

MESSAGES = 10_000
MAX_PAYLOAD_BYTES = 1024 * 1024  # nats-server's default

TEXTS: list[str | bytes] = [
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
BINARIES: list[str | bytes] = [b"\xff", b"\x00\xfe\xff\x80", b"ab\xc3", b"\xed\xa0\x80", bytes(range(256)) * 40]
LARGEST: list[str | bytes] = [
    "x" * MAX_PAYLOAD_BYTES,
    "\x01" * MAX_PAYLOAD_BYTES,  # each byte is six in a JSON string
    b"\xff" * MAX_PAYLOAD_BYTES,
]


@pytest.fixture
def gateway(request: pytest.FixtureRequest, server: str, gateway: GatewayProcess) -> GatewayProcess:
    """The session's gateway of each kind; test_servers proves that they are two kinds."""
    if server == "direct":
        return gateway
    asgi_gateway: GatewayProcess = request.getfixturevalue("asgi_gateway")
    return asgi_gateway


def as_bytes(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


@to_clients
async def test_payloads_to_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "IN")
    await peer.publish("IN", *TEXTS, *BINARIES, MARK)
    assert await until_mark(client) == [*TEXTS, *BINARIES]


@to_clients
async def test_largest_payloads_to_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "IN")
    for number, payload in enumerate(LARGEST, 1):
        await peer.publish("IN", payload)
        await arrived(client.received, number)  # one by one: together they are more than an outbox holds
    await peer.publish("IN", MARK)
    got = await until_mark(client)
    assert len(got) == len(LARGEST)
    assert all(a == b for a, b in zip(got, LARGEST, strict=True))  # pytest would print them


@from_clients
async def test_payloads_from_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway)
    payloads = [*TEXTS, *BINARIES]
    for payload in payloads:
        await client.send("OUT", payload)
    assert await client.confirm() == []
    await arrived(heard, len(payloads))
    assert heard == [as_bytes(payload) for payload in payloads]


@from_clients
async def test_largest_payloads_from_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    for number, payload in enumerate(LARGEST, 1):
        client = await transport.open(gateway)
        await client.send("OUT", payload)
        assert await client.confirm() == []
        await arrived(heard, number)
    assert all(a == as_bytes(b) for a, b in zip(heard, LARGEST, strict=True))


@to_clients
async def test_order_to_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    client = await transport.open(gateway, "IN")
    numbers = [str(i) for i in range(MESSAGES)]
    await peer.publish("IN", *numbers)
    await arrived(client.received, MESSAGES)
    assert sent(client, "IN") == numbers


@from_clients
async def test_order_from_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway)
    for i in range(MESSAGES):
        await client.send("OUT", str(i))
    assert await client.confirm() == []
    await arrived(heard, MESSAGES)
    assert heard == [b"%d" % i for i in range(MESSAGES)]


@to_clients
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
@from_clients
async def test_too_large(transport: Transport, gateway: GatewayProcess, peer: Peer, payload: str | bytes) -> None:
    heard = await peer.listen("OUT")
    client = await transport.open(gateway, "IN")
    await client.send("OUT", "before")
    await client.send("OUT", payload)
    if not transport.acks and not gateway.close_confirms:
        # told by the gateway's own close: a close of the client's might overtake it
        await eventually(lambda: not client.connected, "the gateway's close")
    assert await client.confirm() == ["too_large"]
    if transport.acks:
        await client.send("OUT", "after")
        assert await client.confirm() == []
        await peer.publish("IN", MARK)
        assert await until_mark(client) == []
    await arrived(heard, 1 + transport.acks)
    assert heard == [b"before", b"after"][: len(heard)]


@from_clients
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


@to_clients
async def test_many_clients(transport: Transport, gateway: GatewayProcess, peer: Peer) -> None:
    clients = await asyncio.gather(*(transport.open(gateway, "IN") for _ in range(50)))
    numbers = [str(i) for i in range(100)]
    await peer.publish("IN", *numbers)
    for client in clients:
        await arrived(client.received, 100)
    await peer.publish("IN", MARK)
    for client in clients:
        assert await until_mark(client) == numbers


@to_clients
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


@to_clients
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

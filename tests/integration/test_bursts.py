"""Bursts of clients to NATS: many frames in one write, with something special among them, cut anywhere."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest
from websockets.frames import Close, Opcode

from helpers.burst import cut, numbered, received_bytes, reset, send_cut
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw import OpenRaw, RawClient, frame
from helpers.raw_websocket import close, ping, pong, text
from helpers.waiting import DEADLINE_SECONDS, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "burst.*", "direction": "outbound"},
]
COUNT = 400
#: How bursts are cut; with the seed 0 they are not.
SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def gateway(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One for these tests: nobody else's clients are in its figures."""
    configuration = {"nats": {"servers": [nats_server.url]}, "channels": CHANNELS}
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration)
    yield process
    process.kill()
    assert "Traceback" not in process.output, process.output[-5000:]


class Middle(NamedTuple):
    """Frames in the middle of a burst; what of them is published and which pings are answered.

    ``code`` is that of the gateway's close frame, where the connection ends here.
    """

    frames: bytes
    messages: tuple[bytes, ...] = ()
    pongs: tuple[bytes, ...] = ()
    code: int | None = None


def part(data: bytes, opcode: Opcode = Opcode.CONT) -> bytes:
    return frame(opcode, data, fin=False)


CLOSE = frame(Opcode.CLOSE, Close(1000, "").serialize())
PINGS = frame(Opcode.PING, b"one") + frame(Opcode.PING, b"two")
_FRAMES = (frame(Opcode.CONT) + frame(Opcode.BINARY, b"ghost")) * 8
#: On the wire, masked, this looks like frames.
GHOSTS = frame(Opcode.BINARY, _FRAMES)[-len(_FRAMES) :]
MIDDLES = {
    "pings": Middle(PINGS, (), (b"one", b"two")),
    "fragments": Middle(
        part(b"in ", Opcode.TEXT) + PINGS + part(b"") + part(b"frag") + PINGS + frame(Opcode.CONT, b"ments"),
        (b"in fragments",),
        (b"one", b"two") * 2,
    ),
    "a long message in fragments": Middle(
        part(b"b\xff", Opcode.BINARY) + part(b"y" * 70_000) + PINGS + frame(Opcode.CONT),
        (b"b\xff" + b"y" * 70_000,),
        (b"one", b"two"),
    ),
    "fragments that look like frames": Middle(
        part(GHOSTS, Opcode.BINARY) + frame(Opcode.PING, GHOSTS[:119]) + frame(Opcode.CONT, GHOSTS),
        (GHOSTS * 2,),
        (GHOSTS[:119],),
    ),
    "a close": Middle(CLOSE, code=1000),
    "a close without a code": Middle(frame(Opcode.CLOSE), code=1000),
    # the library's reading of RFC 6455: the message has no end
    "a close within fragments": Middle(part(b"half", Opcode.TEXT) + PINGS + CLOSE, (), (b"one", b"two"), 1002),
    "messages within fragments": Middle(part(b"half", Opcode.TEXT) + PINGS, (), (b"one", b"two"), 1002),
    "a reserved bit": Middle(frame(Opcode.TEXT, b"bad", reserved=4), code=1002),
    "not masked": Middle(PINGS + frame(Opcode.TEXT, b"bad", masked=False), (), (b"one", b"two"), 1002),
    "bad UTF-8": Middle(frame(Opcode.TEXT, b"bad \xff"), code=1007),
    "bad UTF-8 in fragments": Middle(part(b"bad", Opcode.TEXT) + frame(Opcode.CONT, b"\xe2\x82"), code=1007),
}


async def answers(client: RawClient, parts: list[bytes]) -> tuple[list[bytes], int]:
    """Send ``parts``; the pongs and the close code that come, and the connection has ended."""
    sending = asyncio.create_task(send_cut(client, parts))
    pongs = []
    while (answer := await client.receive()).opcode is Opcode.PONG:
        pongs.append(bytes(answer.data))
    assert answer.opcode is Opcode.CLOSE
    await asyncio.gather(sending, return_exceptions=True)  # the gateway may have hung up before the last byte
    with suppress(ConnectionError):
        await client.send(close())  # one that the gateway began is over with this
    await client.end()
    return pongs, Close.parse(bytes(answer.data)).code


async def all_heard(gateway: GatewayProcess, raw: OpenRaw, channel: str, heard: list[bytes]) -> None:
    """Returns when ``heard`` has all that came to the gateway for ``channel`` before."""
    client = await raw(gateway, f"/ws/{channel}")
    await client.send(text("the last"), close())
    assert await client.receive_close() == (1000, "")
    await eventually(lambda: heard[-1:] == [b"the last"], "the last message is heard")
    heard.pop()


@pytest.mark.parametrize("name", MIDDLES)
async def test_something_in_the_middle(gateway: GatewayProcess, peer: Peer, raw: OpenRaw, name: str) -> None:
    """Several clients at a time, each with a burst of its own, cut by another seed."""
    middle = MIDDLES[name]
    channels = [f"burst.{seed}" for seed in SEEDS]
    heard = [await peer.listen(channel) for channel in channels]
    clients = [await raw(gateway, f"/ws/{channel}") for channel in channels]
    bursts, expected = [], []
    for seed in SEEDS:
        payloads = numbered(2 * COUNT, seed)
        front, behind = payloads[:COUNT], payloads[COUNT:]
        before = b"".join(map(message, front))
        data = b"".join([before, middle.frames, *map(message, behind), CLOSE])
        around = range(len(before) - 20, len(before + middle.frames) + 20)
        bursts.append(cut(data, random.Random(seed), around) if seed else [data])
        expected.append([*front, *middle.messages, *(behind if middle.code is None else ())])
    answered = await asyncio.gather(*map(answers, clients, bursts))
    for number, seed in enumerate(SEEDS):
        await all_heard(gateway, raw, channels[number], heard[number])
        assert answered[number] == (list(middle.pongs), middle.code or 1000), f"cut by seed {seed}"
        assert heard[number] == expected[number], f"cut by seed {seed}"


def message(payload: bytes) -> bytes:
    return frame(Opcode.BINARY if b"\xff" in payload else Opcode.TEXT, payload)


def event(payload: bytes, id: int) -> bytes:
    """A Socket.IO event with an ack."""
    if b"\xff" not in payload:
        return frame(Opcode.TEXT, b'42%d["OUT","%b"]' % (id, payload))
    return frame(Opcode.TEXT, b'451-%d["OUT",{"_placeholder":true,"num":0}]' % id) + frame(Opcode.BINARY, payload)


DISCONNECT = frame(Opcode.TEXT, b"41")


async def open_socketio(gateway: GatewayProcess, raw: OpenRaw) -> RawClient:
    client = await raw(gateway, "/socket.io/?EIO=4&transport=websocket&channels=IN")
    await client.say_connect()
    return client


async def acks(client: RawClient, ids: list[int], count: int) -> int | None:
    """Receive acks, all true, until ``ids`` has ``count`` of theirs; where a close comes before, its code."""
    while len(ids) < count:
        received = await client.receive()
        if received.opcode is Opcode.CLOSE:
            return Close.parse(bytes(received.data)).code
        ack = re.fullmatch(rb"43(\d+)\[true\]", bytes(received.data))
        assert ack is not None, received
        ids.append(int(ack[1]))
    return None


@pytest.mark.parametrize("seed", SEEDS)
async def test_acks_of_a_burst(gateway: GatewayProcess, peer: Peer, raw: OpenRaw, seed: int) -> None:
    heard = await peer.listen("OUT")
    payloads = numbered(2 * COUNT, seed)
    data = b"".join(event(payload, id) for id, payload in enumerate(payloads))
    client = await open_socketio(gateway, raw)
    parts = cut(data, random.Random(seed), range(1, 200)) if seed else [data]
    sending = asyncio.create_task(send_cut(client, parts))
    ids: list[int] = []
    assert await acks(client, ids, len(payloads)) is None
    assert ids == list(range(len(payloads)))
    await sending
    await client.send(close())
    assert await client.receive_close() == (1000, "")  # and not one ack more
    await all_heard(gateway, raw, "OUT", heard)
    assert heard == payloads


@pytest.mark.parametrize("behind", [0, COUNT])
async def test_a_burst_with_a_disconnect(gateway: GatewayProcess, peer: Peer, raw: OpenRaw, behind: int) -> None:
    """What comes before it is published, acked or not; what comes behind it is not, and harms nobody."""
    heard = await peer.listen("OUT")
    payloads = numbered(COUNT + behind, SEEDS[-1])
    events = [event(payload, id) for id, payload in enumerate(payloads)]
    client = await open_socketio(gateway, raw)
    burst = b"".join([*events[:COUNT], frame(Opcode.TEXT, b"41"), *events[COUNT:], CLOSE])
    sending = asyncio.create_task(client.send_bytes(burst))
    ids: list[int] = []
    assert await acks(client, ids, len(payloads)) == 1000
    await asyncio.gather(sending, return_exceptions=True)  # the gateway may have hung up before the last byte
    assert ids == list(range(len(ids)))
    assert len(ids) <= COUNT
    with suppress(ConnectionError):
        await client.send(close())
    await client.end()
    await all_heard(gateway, raw, "OUT", heard)
    assert heard == payloads[:COUNT]


async def test_a_reset_in_the_middle_of_a_burst(gateway: GatewayProcess, peer: Peer, raw: OpenRaw) -> None:
    """What was acked is published, and perhaps some more; all of it once and in order."""
    heard = await peer.listen("OUT")
    payloads = numbered(10 * COUNT, SEEDS[-1])
    client = await open_socketio(gateway, raw)
    burst = b"".join(event(payload, id) for id, payload in enumerate(payloads))
    sending = asyncio.create_task(client.send_bytes(burst))
    ids: list[int] = []
    assert await acks(client, ids, COUNT // 2) is None
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    reset(client)
    await eventually(lambda: gateway.metric("wsgw_connections") == 0, "it is gone")
    await all_heard(gateway, raw, "OUT", heard)
    assert ids == list(range(COUNT // 2))
    assert heard == payloads[: len(heard)]
    assert len(heard) >= len(ids)
    assert gateway.metric("wsgw_publishes_in_flight") == 0


async def test_bursts_larger_than_all_limits(gateway: GatewayProcess, peer: Peer, raw: OpenRaw) -> None:
    """Clients that read their acks while they send: they are held back, and nothing is refused as ``overloaded``."""
    count = 100_000  # of each client; all together are more than NATS may owe the gateway
    burst = b"".join(event(b"", id) for id in range(count))
    before = gateway.metric("wsgw_published_messages_total", channel="OUT", transport="socketio")

    async def pour(client: RawClient) -> bytes:
        sending = asyncio.create_task(client.send_bytes(burst))
        answers = bytearray()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while answers.count(b"]") < count and (data := await received_bytes(client)):
                answers += data
        await sending
        return bytes(answers)

    for answered in await asyncio.gather(*[pour(await open_socketio(gateway, raw)) for _ in range(3)]):
        assert b"error" not in answered, answered[answered.index(b"{") :][:200]
        assert list(map(int, re.findall(rb"43(\d+)\[true\]", answered))) == list(range(count))
    published = gateway.metric("wsgw_published_messages_total", channel="OUT", transport="socketio") - before
    assert published == 3 * count


PINGS_BESIDE = 8
CHUNK = 500
#: Events whose ack is awaited, at most; more than the gateway takes before it holds the client back.
WINDOW = 20_000


@pytest.mark.parametrize("socketio", [False, True], ids=["websocket", "socketio"])
async def test_pings_are_answered_beside_a_flood(
    gateway: GatewayProcess, peer: Peer, raw: OpenRaw, socketio: bool
) -> None:
    """The flood ends when they are answered, not before."""
    heard = await peer.listen("OUT")
    flooding = await (open_socketio(gateway, raw) if socketio else raw(gateway, "/ws/OUT"))
    other = await raw(gateway, "/ws/IN")
    sent = 0
    ids: list[int] = []
    ends = asyncio.Event()

    def few_wait() -> bool:
        return sent - len(ids) < WINDOW

    async def flood() -> None:
        nonlocal sent
        while not ends.is_set():
            payloads = {number: b"%d" % number for number in range(sent, sent + CHUNK)}
            frames = [event(payload, id) if socketio else message(payload) for id, payload in payloads.items()]
            await flooding.send_bytes(b"".join(frames))
            sent += CHUNK
            await asyncio.sleep(0)  # the gateway may take all at once: others in this process get a turn
            if socketio:
                await eventually(few_wait, "acks come")

    tasks = [asyncio.create_task(flood()), asyncio.create_task(acks(flooding, ids, sys.maxsize))]
    await eventually(lambda: sent >= 10 * CHUNK, "the flood has begun")
    for number in range(PINGS_BESIDE):
        before = sent
        await other.send(ping(b"%d" % number))
        assert await other.receive() == pong(b"%d" % number)
        await eventually(lambda before=before: sent > before, "the flood goes on")  # type: ignore[misc]
    ends.set()
    await tasks[0]
    await eventually(lambda: not socketio or len(ids) == sent, "all acks came")
    await flooding.send(close())
    assert await tasks[1] == 1000
    await all_heard(gateway, raw, "OUT", heard)
    assert heard == [b"%d" % number for number in range(sent)]
    assert ids == (list(range(sent)) if socketio else [])

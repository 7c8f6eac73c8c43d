"""Socket.IO's connection state recovery as npm's client does it: on two gateways, which keep nothing of who is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.proxy import Proxy
from helpers.recovering import RecoveringClient
from helpers.waiting import eventually

CHANNELS: list[dict[str, Any]] = [
    {"name": "orders", "direction": "both", "durable": True},
    {"name": "bills", "direction": "inbound", "durable": True},
    {"name": "room.*", "direction": "both", "durable": {"stream": "ROOMS"}},
    {"name": "plain", "direction": "both"},
]
TRANSPORTS = ["websocket", "polling", "polling,websocket"]


@pytest.fixture(scope="module")
def gateways(jetstream_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[GatewayProcess]]:
    configuration = {"nats": {"servers": [jetstream_server.url]}, "channels": CHANNELS}
    made = [GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration) for _ in range(2)]
    yield made
    for gateway in made:
        gateway.kill()


@pytest.fixture
async def peer(jetstream_server: NatsServer, gateways: list[GatewayProcess]) -> AsyncIterator[Peer]:
    for gateway in gateways:
        await gateway.ready()
    made = await Peer.connect(jetstream_server.url)
    yield made
    await made.close()


@pytest.fixture
async def proxy(gateways: list[GatewayProcess]) -> AsyncIterator[Proxy]:
    made = await Proxy.start(gateways[0].port)
    yield made
    await made.close()


Start = Callable[..., Awaitable[RecoveringClient]]


@pytest.fixture
async def start(proxy: Proxy, peer: Peer) -> AsyncIterator[Start]:
    made: list[RecoveringClient] = []

    async def start(transports: str = "websocket", **query: str) -> RecoveringClient:
        made.append(await RecoveringClient.start(proxy, transports, **query))
        return made[-1]

    yield start
    for client in made:
        await client.stop()


async def away(client: RecoveringClient, proxy: Proxy) -> None:
    """Cut its connection, and let none be made."""
    before = len(client.named("disconnect"))
    proxy.cut()
    await eventually(lambda: len(client.named("disconnect")) > before, "it knows")


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_nothing_is_lost_or_doubled(
    start: Start, peer: Peer, proxy: Proxy, gateways: list[GatewayProcess], transports: str
) -> None:
    """Two durable channels and two names of a pattern, cut in the middle of it all, at one gateway and the other."""
    client = await start(transports, channels="orders,bills,room.1,room.2,room.*,plain")
    subjects = ("orders", "room.1", "room.2", "bills")
    publishing, sent = True, dict.fromkeys(subjects, 0)

    async def publish() -> None:
        while publishing:
            for subject in subjects:
                await peer.publish(subject, str(sent[subject]))
                sent[subject] += 1
            await asyncio.sleep(0.001)

    task = asyncio.create_task(publish())
    for cut in range(8):
        before = sent["orders"]
        await eventually(lambda: sent["orders"] > before + 30, "some come")  # noqa: B023
        proxy.cut()
        proxy.lead(gateways[(cut + 1) % 2].port)
        proxy.restore()
        recovered = await client.connected(cut + 2)
        assert recovered == [False] + [True] * (cut + 1)
    publishing = False
    await task
    for subject in subjects:
        await eventually(lambda: len(client.payloads(subject)) >= sent[subject], f"all of {subject}")  # noqa: B023
        assert client.payloads(subject) == [str(number) for number in range(sent[subject])]
    both = client.payloads("room.*")
    await eventually(lambda: len(client.payloads("room.*")) >= 2 * sent["room.1"], "the pattern's")
    both = [int(payload) for payload in client.payloads("room.*")]
    assert both == [number for number in range(sent["room.1"]) for _ in range(2)]
    assert not client.named("wsgw:gap")


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_same_pid_after_a_restart(
    jetstream_server: NatsServer, peer: Peer, tmp_path_factory: pytest.TempPathFactory, transports: str
) -> None:
    configuration = {"nats": {"servers": [jetstream_server.url]}, "channels": CHANNELS}
    first = GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration)
    await first.ready()
    proxy = await Proxy.start(first.port)
    client = await RecoveringClient.start(proxy, transports, channels="orders")
    await first.stop()
    await eventually(lambda: client.named("disconnect"), "it knows")
    assert client.payloads("disconnect") == ["transport close"], "not one that a client takes for final"
    await peer.store("orders", "meanwhile")  # no event came before: the pid alone says where it stood
    second = GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration)
    try:
        await second.ready()
        proxy.lead(second.port)
        assert await client.connected(2) == [False, True]
        await eventually(lambda: client.payloads("orders") == ["meanwhile"], "it came")
    finally:
        await client.stop()
        await proxy.close()
        second.kill()


async def test_what_is_missing_is_told_once(
    start: Start, peer: Peer, proxy: Proxy, jetstream_server: NatsServer, tmp_path: Path
) -> None:
    client = await start(channels="orders,bills,plain")
    await peer.store("orders", "before")
    await peer.store("bills", "before")
    await eventually(lambda: len(client.named("orders", "bills")) == 2, "they came")
    await away(client, proxy)
    await peer.store("orders", 1, 2, 3)
    await peer.store("bills", 1, 2)
    for stream in ("orders", "bills"):
        await peer.nats.request(f"$JS.API.STREAM.PURGE.{stream}", b"{}", timeout=10)
    await peer.store("orders", 4)
    later = GatewayProcess(
        tmp_path, {"nats": {"servers": [jetstream_server.url]}, "channels": CHANNELS}
    )  # it saw none of them
    try:
        await later.ready()
        proxy.lead(later.port)
        proxy.restore()
        assert await client.connected(2) == [False, False]
        await eventually(lambda: client.payloads("orders") == ["before", "4"], "what there is")
        ((_, told, offset),) = client.named("wsgw:gap")
        assert sorted(told["channels"]) == ["bills", "orders"]
        assert told["missed"] == 5
        assert isinstance(offset, str)
        await away(client, proxy)
        proxy.restore()
        assert await client.connected(3) == [False, False, True], "by the new pid"
    finally:
        later.kill()


async def test_names_joined_later_are_had_again(start: Start, peer: Peer, proxy: Proxy) -> None:
    client = await start(channels="orders,plain")
    assert await client.emit("wsgw:subscribe", "room.7") == [True]
    assert await client.emit("wsgw:unsubscribe", "plain") == [True]
    assert await client.emit("wsgw:subscribe", "room.8") == [True]
    await eventually(lambda: len(client.named("wsgw:joined")) == 2, "it is told")
    assert [line[1] for line in client.named("wsgw:joined")] == [{"channel": "room.7"}, {"channel": "room.8"}]
    await away(client, proxy)
    await peer.store("room.7", "seven")
    await peer.store("orders", "an order")
    await peer.store("room.8", "eight")
    proxy.restore()
    assert await client.connected(2) == [False, True]
    await eventually(lambda: len(client.named("room.7", "room.8", "orders")) == 3, "all came")
    assert client.payloads("room.7", "room.8", "orders").count("seven") == 1
    await peer.publish("plain", "to nobody")
    await peer.store("room.7", "again")
    await eventually(lambda: client.payloads("room.7") == ["seven", "again"], "live again")
    assert not client.named("plain"), "it was left"


async def test_what_is_not_understood_is_not_recovered(start: Start, gateways: list[GatewayProcess]) -> None:
    """Of a later version, or of anybody's making."""
    for pid, offset in (
        ("x~2.new", "2.new"),
        ("x", None),
        ("x~1.0123456789-5", "1.0123456789-5"),
        ("x~1", "~"),
        ("", ""),
    ):
        async with asyncio.timeout(20):
            answer = await raw_connect(gateways[0], {"pid": pid, "offset": offset})
        assert answer["pid"] not in ("", pid)


async def raw_connect(gateway: GatewayProcess, auth: dict[str, Any]) -> dict[str, Any]:
    url = f"ws://127.0.0.1:{gateway.port}/socket.io/?EIO=4&transport=websocket&recovery=1&channels=orders"
    async with connect(url, proxy=None) as socket:
        assert str(await socket.recv()).startswith("0{")
        await socket.send("40" + json.dumps(auth))
        answer = str(await socket.recv())
        assert answer.startswith("40{"), answer
        return json.loads(answer[2:])  # type: ignore[no-any-return]


async def test_the_last_ones_and_an_envelope(start: Start, peer: Peer) -> None:
    await peer.store("bills", "a", "b", "c")
    client = await start(channels="bills", last="2", envelope="1")
    await eventually(lambda: len(client.named("bills")) == 2, "two came")
    for (_, said, offset), text in zip(client.named("bills"), "bc", strict=True):
        assert said["text"] == text
        assert said["id"] == offset
        assert said["subject"] == "bills"


async def test_a_start_that_is_none_is_refused(proxy: Proxy, peer: Peer, gateways: list[GatewayProcess]) -> None:
    url = f"ws://127.0.0.1:{gateways[0].port}/socket.io/?EIO=4&transport=websocket&channels=orders&last=many"
    async with connect(url, proxy=None) as socket:
        await socket.recv()
        await socket.send("40")
        answer = str(await socket.recv())
    assert answer.startswith("44{")
    assert json.loads(answer[2:])["data"]["error"]["code"] == "bad_request"

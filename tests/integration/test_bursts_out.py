"""Bursts of NATS to many clients, some slow or leaving: order, completeness, and drops that are counted exactly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from helpers.burst import BurstClient, Stall, numbered, reset
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import eventually

SUBJECT = "bursts.out"
SEED = 20_240_611
#: Numbers a round of these tests publishes: some MB more than the system's buffers take for a client.
ROUND = 2_000

Subscribe = Callable[..., Awaitable[BurstClient]]


@pytest.fixture
async def subscribe() -> AsyncIterator[Subscribe]:
    """Opens subscribers; they are dropped in the end."""
    clients: list[BurstClient] = []

    async def opened(gateway: GatewayProcess, channel: str, *, socketio: bool) -> BurstClient:
        clients.append(await BurstClient.subscriber(gateway, channel, socketio=socketio))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


@pytest.fixture
async def publisher(nats_server: NatsServer) -> AsyncIterator[Peer]:
    """The one publisher."""
    peer = await Peer.connect(nats_server.url)
    yield peer
    await peer.close()


@pytest.fixture
async def gateway(nats_server: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    """One whose outboxes hold all that these tests publish: nothing is dropped."""
    outbox = {"messages": 1_000_000, "bytes": 1024**3}
    gateway = start_gateway(
        nats_server.url, [{"name": "IN", "direction": "inbound", "subject": SUBJECT, "outbox": outbox}]
    )
    await gateway.ready()
    return gateway


async def metric_is(gateway: GatewayProcess, value: float, name: str, **labels: str) -> None:
    """Returns when a metric has that value."""
    await eventually(lambda: gateway.metric(name, **labels) == value, f"{name} {labels} is {value:g}")


async def test_order_through_batches_congestion_and_outbox(
    gateway: GatewayProcess, publisher: Peer, subscribe: Subscribe
) -> None:
    """In each round some stop reading; when all came to the gateway they go on, while the next round is published."""
    rng = random.Random(SEED)
    payloads = numbered(4 * ROUND, SEED)
    clients = [await subscribe(gateway, "IN", socketio=socketio) for socketio in (False, True) for _ in range(4)]
    await metric_is(gateway, len(clients), "wsgw_subscriptions", channel="IN")

    stalls = [Stall(client, payloads) for client in clients]
    for start in range(0, len(payloads), ROUND):
        chosen = rng.sample(stalls, 5)
        for stall in chosen:
            stall.stop()
        await publisher.publish(SUBJECT, *payloads[start : start + ROUND])
        await metric_is(gateway, start + ROUND, "wsgw_nats_messages_total", channel="IN")
        assert gateway.metric("wsgw_outbox_messages") > 0, "nobody was slow: the outbox is not tested"
        for stall in chosen:
            stall.go_on()
    await asyncio.gather(*(stall.task for stall in stalls))

    for client in clients:
        assert client.numbers == list(range(len(payloads)))
    assert gateway.metric("wsgw_dropped_messages_total") == 0
    assert gateway.metric("wsgw_outbox_messages") == gateway.metric("wsgw_outbox_bytes") == 0
    assert gateway.metric("wsgw_deliveries_total", channel="IN") == len(clients) * len(payloads)


NEWEST = 100
ROOM_BYTES = 2 * 1024 * 1024


async def test_drops_are_what_is_counted(
    nats_server: NatsServer, start_gateway: StartGateway, publisher: Peer, subscribe: Subscribe
) -> None:
    """One channel a client, all of one subject, so that each has its own count of drops."""
    few = {"messages": NEWEST, "bytes": 1024**3}
    small = {"messages": 1_000_000, "bytes": ROOM_BYTES}
    outboxes = {"few-ws": few, "few-sio": few, "small-ws": small, "small-sio": small}
    channels = [
        {"name": name, "direction": "inbound", "subject": SUBJECT, "outbox": outbox}
        for name, outbox in outboxes.items()
    ]
    gateway = start_gateway(nats_server.url, channels)
    await gateway.ready()
    rng = random.Random(SEED)
    payloads = numbered(3 * ROUND, SEED)
    clients: dict[str, BurstClient] = {}
    for name in outboxes:
        clients[name] = await subscribe(gateway, name, socketio=name.endswith("sio"))
        await metric_is(gateway, 1, "wsgw_subscriptions", channel=name)

    async def some(client: BurstClient, count: int) -> None:
        for _ in range(count):
            await client.read_one(payloads)

    for start in range(0, len(payloads), ROUND):
        reading = [asyncio.create_task(some(client, rng.randrange(100))) for client in clients.values()]
        await publisher.publish(SUBJECT, *payloads[start : start + ROUND])
        for name in outboxes:
            await metric_is(gateway, start + ROUND, "wsgw_nats_messages_total", channel=name)
        await asyncio.gather(*reading)

    for name, client in clients.items():
        dropped = gateway.metric("wsgw_dropped_messages_total", channel=name)
        assert dropped > 0, name
        while client.numbers[-1:] != [len(payloads) - 1] and len(client.numbers) < len(payloads) - dropped:
            await client.read_one(payloads)
        assert len(client.numbers) + dropped == len(payloads), name
        assert client.told == (dropped if client.socketio else 0), name
        assert all(earlier < later for earlier, later in pairwise(client.numbers)), name
        assert gateway.metric("wsgw_deliveries_total", channel=name) == len(client.numbers), name
        newest = NEWEST if outboxes[name] is few else newest_within(payloads, ROOM_BYTES // 2)
        assert client.numbers[-newest:] == list(range(len(payloads) - newest, len(payloads))), name
    assert gateway.metric("wsgw_outbox_messages") == gateway.metric("wsgw_outbox_bytes") == 0


def newest_within(payloads: list[bytes], size: int) -> int:
    """How many of the newest have at most ``size`` bytes together."""
    count = 0
    for payload in reversed(payloads):
        size -= len(payload)
        if size < 0:
            break
        count += 1
    return count


async def test_clients_leave_in_the_middle_of_a_burst(
    gateway: GatewayProcess, publisher: Peer, subscribe: Subscribe
) -> None:
    """By RST and by a close, while they read and after they stopped: who stays gets everything, in order."""
    rng = random.Random(SEED)
    payloads = numbered(2 * ROUND, SEED)
    stay = [await subscribe(gateway, "IN", socketio=socketio) for socketio in (False, True) for _ in range(2)]
    go = [await subscribe(gateway, "IN", socketio=socketio) for socketio in (False, True) for _ in range(10)]
    await metric_is(gateway, len(stay) + len(go), "wsgw_subscriptions", channel="IN")

    async def leaves(client: BurstClient, how: int) -> int:
        """By a reset (0 and 1) or a close, at once or (1 and 3) when it has read nothing for long; the close code."""
        await client.read(payloads, rng.randrange(ROUND // 2))
        if how % 2:
            later = len(stay[0].numbers) + rng.randrange(ROUND)
            await eventually(lambda: len(stay[0].numbers) >= later, "others read on")
        if how < 2:
            reset(client)
            return 1006
        return await client.leave()

    leaving = [asyncio.create_task(leaves(client, number % 4)) for number, client in enumerate(go)]
    reading = [asyncio.create_task(client.read(payloads, len(payloads))) for client in stay]
    await publisher.publish(SUBJECT, *payloads)
    codes = await asyncio.gather(*leaving)
    await asyncio.gather(*reading)

    assert [code for number, code in enumerate(codes) if number % 4 >= 2] == [1000] * 10
    for client in stay:
        assert client.numbers == list(range(len(payloads)))
    for client in go:
        assert client.numbers == list(range(len(client.numbers)))
    for transport in ("websocket", "socketio"):
        await metric_is(gateway, len(stay) / 2, "wsgw_connections", transport=transport)
    assert gateway.metric("wsgw_subscriptions", channel="IN") == len(stay)
    assert gateway.metric("wsgw_closes_total", code="1000") == gateway.metric("wsgw_closes_total", code="1006") == 10
    assert gateway.metric("wsgw_outbox_messages") == gateway.metric("wsgw_outbox_bytes") == 0
    assert "Traceback" not in gateway.output

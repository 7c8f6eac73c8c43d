"""The faults, each made once in a field under traffic, and undone: what is broken is whole again at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chaos.clients import KINDS, WebSocketClient
from chaos.field import PLAIN, STREAM, Field, Setup
from helpers.nats_cluster import name_of
from helpers.proxy import Fate, Proxy
from helpers.waiting import eventually

#: Each fault once, and those that take their time with less of it.
SHORT = os.environ.get("CHAOS_RUNS", "1") == "1"
#: As long as it takes to see that a client keeps nothing up.
FULL_SECONDS = 60.0
#: Messages so long fill what is between a gateway and a client soon.
LONG_BYTES = 16_000
SLOW_BYTES = 1024
#: After so long the gateway asks whether the stream goes as far as a client says.
AHEAD_SECONDS = 5.0
#: The gateway pings every 20 s, and waits 20 s for the answer.
PINGED_SECONDS = 60.0


# -- NATS


async def nats_killed(field: Field) -> None:
    await _kill(field, field.chance.randrange(len(field.servers)))


async def leader_killed(field: Field) -> None:
    """The server that leads the stream."""
    info = await field.ask(f"STREAM.INFO.{STREAM}")
    leader = info.get("cluster", {}).get("leader")
    names = [name_of(number) for number in range(len(field.servers))]
    await _kill(field, names.index(leader) if leader in names else 0)


async def node_leaves(field: Field) -> None:
    """It says so first: who is connected to it has some seconds."""
    server = field.chance.choice(field.servers)
    server.lame_duck()
    await asyncio.sleep(field.chance.uniform(1.0, 5.0))
    server.stop()
    await asyncio.to_thread(server.start)


async def _kill(field: Field, number: int) -> None:
    server = field.servers[number]
    server.stop()
    await asyncio.sleep(field.chance.uniform(0.1, 1.5))
    await asyncio.to_thread(server.start)


async def nats_stopped(field: Field) -> None:
    server = field.chance.choice(field.servers)
    server.freeze()
    await asyncio.sleep(3.0 if SHORT else field.chance.uniform(10, 13))  # publishes are given up after 10 s
    server.thaw()


async def network_cut(field: Field) -> None:
    """Between one gateway and NATS, or all."""
    for proxy in _networks(field):
        proxy.cut()
    await asyncio.sleep(field.chance.uniform(0.1, 3))
    _restore(field)


async def network_silent(field: Field) -> None:
    """It takes everything, and nothing arrives: longer than it takes to see that, or not."""
    for proxy in _networks(field):
        proxy.hold()
    await asyncio.sleep(6.0 if SHORT else field.chance.uniform(1, 9))  # a fence is missed after 5 s
    _restore(field)


async def gateway_behind(field: Field) -> None:
    """One has no NATS, and clients come to it from the other one, where they have got further."""
    network = field.chance.choice(field.networks)
    for proxy in network:
        field.chance.choice([proxy.hold, proxy.cut])()
    await field.progress(20)
    for _ in range(3):
        for client in field.clients:
            client.cut()
        await asyncio.sleep(0.3)
    await asyncio.sleep(AHEAD_SECONDS + field.chance.uniform(0.5, 1.5))
    _restore(field)


def _networks(field: Field) -> list[Proxy]:
    some = field.chance.choice([field.networks[:1], field.networks[1:], field.networks])
    return [proxy for network in some for proxy in network]


def _restore(field: Field) -> None:
    for network in field.networks:
        for proxy in network:
            proxy.restore()


# -- the stream


async def stream_purged(field: Field) -> None:
    await field.ask(f"STREAM.PURGE.{STREAM}")


async def stream_purged_unseen(field: Field) -> None:
    """Of what one gateway, which has no NATS, has not read."""
    for proxy in field.chance.choice(field.networks):
        proxy.cut()
    await field.progress(20)
    await field.ask(f"STREAM.PURGE.{STREAM}")
    _restore(field)


async def stream_made_anew(field: Field) -> None:
    await field.ask(f"STREAM.DELETE.{STREAM}")
    field.streams += 1
    if field.setup.own_stream:
        await field.make_stream()


async def stream_full(field: Field) -> None:
    """It has room for little more; and when everybody was told so, for all."""
    state = (await field.ask(f"STREAM.INFO.{STREAM}"))["state"]
    before = [publisher.told["stream_full"] for publisher in field.publishers[1:]]
    await field.ask(f"STREAM.UPDATE.{STREAM}", **field.stream_configuration(state["bytes"] + 20_000))
    await eventually(
        lambda: all(
            publisher.told["stream_full"] >= told + 3
            for publisher, told in zip(field.publishers[1:], before, strict=True)
        ),
        "publishers are told that the stream is full",
        FULL_SECONDS,
    )
    await field.ask(f"STREAM.UPDATE.{STREAM}", **field.stream_configuration())


async def consumers_deleted(field: Field) -> None:
    for name in (await field.ask(f"CONSUMER.NAMES.{STREAM}")).get("consumers") or []:
        await field.ask(f"CONSUMER.DELETE.{STREAM}.{name}")


# -- gateways


async def gateway_killed(field: Field) -> None:
    number = field.chance.randrange(len(field.gateways))
    field.gateway(number).kill()
    await asyncio.sleep(field.chance.uniform(0.0, 1.0))
    await field.start_gateway(number)


async def gateway_drained(field: Field) -> None:
    """While clients follow, and publish through it."""
    number = field.chance.randrange(len(field.gateways))
    process = field.gateway(number).process
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.02)
    assert process.returncode == 0, field.gateway(number).output
    await field.start_gateway(number)


# -- clients, and the network to them


async def clients_cut(field: Field) -> None:
    for _ in range(10):
        for client in field.clients:
            if field.chance.random() < 0.5:
                client.cut()
        await asyncio.sleep(field.chance.uniform(0.02, 0.2))


async def clients_half_open(field: Field) -> float:
    """Far clients are lost without a word, and come back; the gateways find out by their pings, or as nothing goes."""
    fate = field.chance.choice([Fate.STANDS, Fate.SWALLOWED])
    for way in field.ways:
        way.forsake(fate)
    await asyncio.sleep(field.chance.uniform(0.5, 2))
    for client in field.clients:
        if client.far:
            client.cut()
    recovery = await field.recovery()
    if SHORT:
        return recovery
    there = sum(isinstance(client, WebSocketClient) for client in field.clients)
    await field.metric_is(lambda count: count <= there, PINGED_SECONDS, "wsgw_connections", transport="websocket")
    return recovery


async def clients_stalled(field: Field) -> None:
    """Nothing is taken by far clients, until gateways give them up."""
    async with far_ways(field, Proxy.hold):
        await _given_up(field)


async def clients_slow(field: Field) -> None:
    """Far clients take 1 KB a second, until gateways give them up; and a while longer."""
    async with far_ways(field, crawl):
        await _given_up(field)
        await asyncio.sleep(field.chance.uniform(0, 2))


@asynccontextmanager
async def far_ways(field: Field, spoil: Callable[[Proxy], None]) -> AsyncIterator[None]:
    """The networks to far clients are so while long messages are sent, and whole again at the end."""
    async with field.padded(LONG_BYTES):
        for way in field.ways:
            spoil(way)
        yield
    for way in field.ways:
        way.restore()


def crawl(way: Proxy) -> None:
    """1 KB a second."""
    way.rate_bytes = SLOW_BYTES


async def _given_up(field: Field) -> None:
    """Some client was closed because it does not keep up."""
    if field.several_faults:  # who finds no gateway, or another stream, need not be slow
        await asyncio.sleep(5)
        return
    before = await field.metric("wsgw_closes_total", code="4008")
    await field.metric_is(lambda count: count > before, FULL_SECONDS, "wsgw_closes_total", code="4008")


async def herd(field: Field) -> None:
    """Many clients come back at once, a while behind. Messages are few from then on, for many are to have them."""
    field.publishers[0].pace_seconds = 0.05
    many = [field.add_client(kind) for kind in KINDS for _ in range((100 if SHORT else 1000) // len(KINDS))]
    await eventually(lambda: all(client.position[0] for client in many), "they know where they stand", 90)
    for client in field.clients:
        client.may_connect.clear()
        client.cut()
    await field.progress(50)
    for client in field.clients:
        client.may_connect.set()


@dataclass(frozen=True, slots=True)
class Fault:
    """What it is done to (of one thing one fault is made at a time), and what there must be.

    ``make`` returns when it is over; or, where it goes on to look at something, how long recovery took (seconds).

    ``told`` says that clients may be told of a gap; else the stream has it all.
    """

    make: Callable[[Field], Awaitable[float | None]]
    of: str
    setup: Setup = PLAIN
    told: bool = False


FAULTS: dict[str, Fault] = {
    "nats_killed": Fault(nats_killed, "nats"),
    "nats_stopped": Fault(nats_stopped, "nats"),
    "node_killed": Fault(nats_killed, "nats", Setup(cluster=True)),
    "node_leaves": Fault(node_leaves, "nats", Setup(cluster=True)),
    "leader_killed": Fault(leader_killed, "nats", Setup(cluster=True)),
    "network_cut": Fault(network_cut, "nats", Setup(network=True)),
    "network_silent": Fault(network_silent, "nats", Setup(network=True)),
    "gateway_behind": Fault(gateway_behind, "nats", Setup(network=True)),
    "stream_purged": Fault(stream_purged, "stream", told=True),
    "stream_purged_unseen": Fault(stream_purged_unseen, "nats", Setup(network=True, own_stream=True), told=True),
    "stream_made_anew": Fault(stream_made_anew, "stream", told=True),
    "stream_full": Fault(stream_full, "stream", Setup(own_stream=True)),
    "consumers_deleted": Fault(consumers_deleted, "stream"),
    "gateway_killed": Fault(gateway_killed, "gateways"),
    "gateway_drained": Fault(gateway_drained, "gateways"),
    "clients_cut": Fault(clients_cut, "clients"),
    "clients_half_open": Fault(clients_half_open, "clients"),
    "clients_stalled": Fault(clients_stalled, "clients"),
    "clients_slow": Fault(clients_slow, "clients"),
    "herd": Fault(herd, "clients"),
}

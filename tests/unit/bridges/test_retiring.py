"""Bridges of channels that are no more, or lose names, while the connection to NATS goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from helpers.durables import Durables, durable
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.rooms import Rooms
from helpers.stack import Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import durable as durable_module
from wsgw.bridges import pattern as pattern_module


@pytest.fixture
async def rooms(start_server: Callable[..., NatsServer]) -> AsyncIterator[Rooms]:
    server, stack = start_server(), Stack()
    async with asyncio.timeout(100):
        await stack.connect(server.url)
        made = Rooms(server, stack)
        stack.start(made.bridge)
        made.peer = await Peer.connect(server.url)
        yield made
        await made.peer.close()
        await stack.stop()


@pytest.fixture
async def orders(jetstream: NatsServer) -> AsyncIterator[Durables]:
    made = Durables(jetstream, Stack(), durable())
    async with asyncio.timeout(90):
        await made.open()
        yield made
        await made.close()


@pytest.mark.parametrize("names", [("chat.1", "chat.2"), ("chat.*",), ("chat.1", "chat.*")])
async def test_a_pattern(rooms: Rooms, names: tuple[str, ...]) -> None:
    got = [await rooms.join(name) for name in names]
    await rooms.peer.publish("rooms.1", b"1")
    await arrived(got[0], 1)
    refreshing = len(rooms.stack.metrics.on_read)
    await rooms.bridge.retire()
    await rooms.at_nats()
    await rooms.peer.publish("rooms.1", b"2")
    await rooms.peer.fence()
    await rooms.stack.broker.barrier()
    assert all(b"2" not in payloads for payloads in got)
    assert len(rooms.stack.metrics.on_read) == refreshing - 1
    assert value(rooms.stack.metrics, "wsgw_nats_messages_total", channel="chat.*") == 1
    for name in names:  # as its sessions do, which are told then
        rooms.leave(name)


async def test_who_waits_for_a_pattern_goes_on(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms.server.freeze()
    waiting = rooms.bridge.join("chat.1", rooms.no)
    assert waiting is not None
    retiring = asyncio.ensure_future(rooms.bridge.retire())
    await asyncio.wait_for(waiting, 30)
    rooms.server.thaw()
    await retiring


async def test_names_that_nobody_is_subscribed_to(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_module, "LINGER_SECONDS", 3600.0)
    got, other = await rooms.join("chat.1"), await rooms.join("chat.2")
    rooms.leave("chat.1")
    await rooms.peer.publish("rooms.1", b"lingering")
    await arrived(got, 1)
    await rooms.bridge.forget_idle()
    await rooms.at_nats("rooms.2")
    await rooms.peer.publish("rooms.1", b"x")
    await rooms.peer.publish("rooms.2", b"1")
    await arrived(other, 1)
    assert got == [b"lingering"]


async def test_a_durable_channel(orders: Durables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_module, "ENDED_AT_A_TIME", 2)
    clients = [orders.follow() for _ in range(5)]
    await orders.publish("1")
    for client in clients:
        await arrived(client.link.data, 1)
    used, refreshing = orders.memory.used_bytes, len(orders.stack.metrics.on_read)
    assert used
    await orders.bridge.retire()
    assert orders.memory.used_bytes < used
    assert len(orders.stack.metrics.on_read) == refreshing - 1
    assert await orders.consumers() == []
    await orders.publish("2", to_end=False)
    assert [client.payloads for client in clients] == [[b"1"]] * 5
    assert value(orders.stack.metrics, "wsgw_subscriptions", channel="orders") == 0
    for client in clients:
        client.end()
    info = await orders.ask("STREAM.INFO.S")
    assert info["state"]["messages"] == 2  # type: ignore[index]


async def test_one_that_waits_for_its_stream(jetstream: NatsServer) -> None:
    """Its clients wait with it."""
    stack = Stack()
    await stack.connect(jetstream.url)
    made = Durables(jetstream, stack, durable())
    bridge = made.bridge = made.make()
    client = made.follow()
    await bridge.retire()
    assert client.places == []
    await eventually(lambda: not bridge._followings, "none is left")
    client.end()
    await stack.stop()

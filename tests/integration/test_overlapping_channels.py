"""Channels whose names overlap: a name belongs to one of them, and every client gets each message once, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from helpers.client import Client
from helpers.client_socketio import SocketIOTransport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.interest import nats_has
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": name, "direction": "inbound"} for name in ("chat.>", "chat.*", "*.lobby", "chat.lobby", "chat.*.private")
]
#: Subjects that are published to, and the patterns among the channels that they match.
SUBJECTS = {
    "chat.lobby": ("chat.>", "chat.*", "*.lobby"),
    "chat.room": ("chat.>", "chat.*"),
    "hall.lobby": ("*.lobby",),
    "chat.room.private": ("chat.>", "chat.*.private"),
    "chat.a.b.c": ("chat.>",),
}
PATTERNS = ("chat.>", "chat.*", "*.lobby", "chat.*.private")


@pytest.fixture
def nats(start_nats: StartNats) -> NatsServer:
    return start_nats()


@pytest.fixture
async def gateway(nats: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    return gateway


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    peer = await Peer.connect(nats.url)
    yield peer
    await peer.close()


class Numbers:
    """Publishes numbers, each to one of SUBJECTS, about 2,000 a second, until ``stop``."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._stop = asyncio.Event()
        self.sent: list[str] = []  # the subject of each number
        self.random = random.Random(7)

    async def _run(self) -> None:
        subjects = list(SUBJECTS)
        while not self._stop.is_set():
            for _ in range(10):
                subject = self.random.choice(subjects)
                self.sent.append(subject)
                await self._peer.publish(subject, str(len(self.sent) - 1))
            await asyncio.sleep(0.005)

    async def at(self, count: int) -> None:
        """Returns when so many more are out."""
        wanted = len(self.sent) + count
        await eventually(lambda: len(self.sent) >= wanted, "messages flow")

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    def of(self, name: str) -> list[str]:
        """The numbers that a client of ``name`` is to get, of all that were sent."""
        return [str(n) for n, subject in enumerate(self.sent) if name == subject or name in SUBJECTS[subject]]


def numbers(client: Client) -> list[str]:
    return [str(payload) for _, payload in client.received]


async def test_a_name_is_delivered_once_whoever_joins_the_patterns(
    gateway: GatewayProcess, websocket: WebSocketTransport, peer: Peer
) -> None:
    lobby = await websocket.open(gateway, "chat.lobby")
    patterns = [await websocket.open(gateway, name) for name in SUBJECTS["chat.lobby"]]
    await peer.publish("chat.lobby", *(str(number) for number in range(300)))
    for client in [lobby, *patterns]:
        await arrived(client.received, 300)
    await peer.publish("chat.lobby", "last")
    for client in [lobby, *patterns]:
        await arrived(client.received, 301)
        assert numbers(client) == [*(str(number) for number in range(300)), "last"]


async def test_every_mix_joined_and_left_while_messages_flow(
    nats: NatsServer,
    gateway: GatewayProcess,
    websocket: WebSocketTransport,
    socketio: SocketIOTransport,
    peer: Peer,
) -> None:
    lasting = {name: await websocket.open(gateway, name) for name in SUBJECTS}
    several = ("chat.>", *SUBJECTS)
    everything = await socketio.open(gateway, *several)
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="chat.>") == 3, "all are subscribed")
    flow = Numbers(peer)
    passing: list[tuple[str, Client]] = []
    for name in flow.random.sample([*PATTERNS, *PATTERNS, *SUBJECTS], 12):
        passing.append((name, await websocket.open(gateway, name)))
        await flow.at(600)
        if len(passing) % 3 == 0:  # the first one of three stays longer
            for _, leaver in passing[-2:]:
                await leaver.close()
    for _, client in passing:
        await client.close()
    # each pattern has been subscribed to in place of its names, and these again in place of it
    await nats_has(nats, dict.fromkeys((name for name in PATTERNS if name != "chat.>"), 0))
    await flow.at(1000)
    await flow.stop()
    for name, client in lasting.items():
        await arrived(client.received, len(flow.of(name)))
        assert numbers(client) == flow.of(name)
    for name in several:
        wanted = flow.of(name)

        def of_name(name: str = name) -> list[str]:
            return [str(payload) for event, payload in everything.received if event == name]

        await eventually(lambda: len(of_name()) >= len(wanted), f"{name} arrived")  # noqa: B023
        assert of_name() == wanted
    for name, client in passing:
        got, wanted = numbers(client), flow.of(name)
        assert got, name
        first = wanted.index(got[0])
        assert got == wanted[first : first + len(got)]
    assert "error:" not in gateway.output

"""Pattern channels: NATS' interest follows the clients, and no change of it is noticed by a message."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import websockets

from helpers.client import Client, Refused
from helpers.client_socketio import SocketIOTransport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.interest import interest, nats_has, subscription_ids
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "chat.*", "direction": "both", "subject": "rooms.*"},
]


@pytest.fixture
def nats(start_nats: StartNats) -> NatsServer:
    """A server whose subscriptions are the gateway's only."""
    return start_nats()


@pytest.fixture
async def gateway(nats: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats.url, CHANNELS, max_subjects=20)
    await gateway.ready()
    return gateway


@pytest.fixture
async def talker(nats: NatsServer) -> AsyncIterator[Peer]:
    """Publishes, and subscribes to nothing."""
    peer = await Peer.connect(nats.url)
    yield peer
    await peer.close()


async def test_interest_follows_the_clients(
    nats: NatsServer, gateway: GatewayProcess, websocket: WebSocketTransport, socketio: SocketIOTransport
) -> None:
    assert interest(nats)["rooms.*"] == 0
    first = await websocket.open(gateway, "chat.a")
    second = await socketio.open(gateway, "chat.a", "chat.b")
    assert interest(nats)["rooms.a"] == 1  # for both, and in effect when the second one is connected
    assert interest(nats)["rooms.b"] == 1
    assert interest(nats)["rooms.*"] == 0
    await second.close()
    await nats_has(nats, {"rooms.b": 0})  # some seconds later
    assert interest(nats)["rooms.a"] == 1
    await first.close()
    await nats_has(nats, {"rooms.a": 0})


async def test_interest_stays_a_while(
    nats: NatsServer, gateway: GatewayProcess, websocket: WebSocketTransport, talker: Peer
) -> None:
    """A client that comes back soon finds its subject as it was: nothing is asked of NATS."""
    client = await websocket.open(gateway, "chat.a")
    before = subscription_ids(nats, "rooms.a")
    for _ in range(5):
        await client.close()
        client = await websocket.open(gateway, "chat.a")
        assert subscription_ids(nats, "rooms.a") == before
    await talker.publish("rooms.a", "hello")
    await arrived(client.received, 1)


async def test_max_subjects(gateway: GatewayProcess, socketio: SocketIOTransport) -> None:
    """A client too many is told so; what nobody uses any more makes room at once."""
    clients = [await socketio.open(gateway, f"chat.{number}") for number in range(20)]
    with pytest.raises(Refused) as refused:
        await socketio.open(gateway, "chat.20")
    assert refused.value.code == "too_many_subjects"
    async with websockets.connect(gateway.websocket("chat.20"), proxy=None) as late:
        with pytest.raises(websockets.ConnectionClosed):
            await late.recv()
    assert late.close_code == 1013, "to come later is no use of a code that says never"
    assert gateway.metric("wsgw_subjects", channel="chat.*") == 20
    assert gateway.metric("wsgw_subjects_limit", channel="chat.*") == 20
    assert gateway.output.count("channel chat.*: 16 of at most 20 names are in use") == 1
    await socketio.open(gateway, "chat.0")
    await clients[7].close()
    await eventually(lambda: gateway.metric("wsgw_connections", transport="socketio") == 20, "the client is gone")
    await socketio.open(gateway, "chat.20")
    assert all(client.connected for client in clients if client is not clients[7])


@pytest.mark.parametrize("leaving", [False, True], ids=["to the pattern", "to concrete subjects"])
async def test_a_short_loss_during_a_change(
    nats: NatsServer, gateway: GatewayProcess, socketio: SocketIOTransport, leaving: bool
) -> None:
    one = await socketio.open(gateway, "chat.a")
    every = await socketio.open(gateway, "chat.*")
    wanted = {"rooms.*": 1}
    if leaving:
        await nats_has(nats, {"rooms.*": 1, "rooms.a": 0})
        await every.close()
        await nats_has(nats, {"rooms.a": 1})
        wanted = {"rooms.a": 1, "rooms.*": 0}
    nats.stop()
    nats.start()
    await gateway.ready()
    await nats_has(nats, wanted)
    assert gateway.metric("wsgw_gaps_total", channel="chat.*") == 1
    assert "error:" not in gateway.output
    peer = await Peer.connect(nats.url)
    await peer.publish("rooms.a", "1", "2")
    await peer.publish("rooms.a", "mark")
    for client in [one] if leaving else [one, every]:
        await arrived(client.received, 3)
        assert [payload for _, payload in client.received] == ["1", "2", "mark"]
    await peer.close()


class Traffic:
    """Publishers that all send to all subjects, about 3,000 messages a second, and what they sent by subject.

    Subjects that begin with ``equal`` get the same few payloads again and again, the others never one twice.
    """

    def __init__(self, subjects: list[str]) -> None:
        self.subjects = subjects
        self.sent: dict[str, list[str]] = {subject: [] for subject in subjects}
        self._peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def start(self, nats: NatsServer) -> None:
        """Begin."""
        for number in range(3):
            self._peers.append(await Peer.connect(nats.url))
            self._tasks.append(asyncio.create_task(self._publish(self._peers[-1], number)))

    async def stop(self) -> None:
        """End, with a last message on every subject."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(peer.fence() for peer in self._peers))
        for subject in self.subjects:
            await self._peers[0].publish(subject, "mark")
        for peer in self._peers:
            await peer.close()

    async def _publish(self, peer: Peer, publisher: int) -> None:
        pause = 3 * len(self.subjects) / 3000
        for number in itertools.count():
            if self._stop.is_set():
                return
            for subject in self.subjects:
                payload = f"{number % 3}" if subject.startswith("equal") else f"{subject} {publisher} {number}"
                self.sent[subject].append(payload)
                await peer.publish(subject, payload)
            await asyncio.sleep(pause)


def of_publisher(payloads: list[str], publisher: int) -> list[str]:
    return [payload for payload in payloads if payload.split()[1] == str(publisher)]


async def test_changes_under_traffic(
    nats: NatsServer, start_gateway: StartGateway, websocket: WebSocketTransport
) -> None:
    """Whole clients come and go on eight patterns, and the clients of concrete subjects get everything once, in order.

    The last two patterns are changed back in the middle of a change.
    """
    patterns = [f"{kind}{number}.*" for kind in ("equal", "unique") for number in range(4)]
    concrete = [pattern.replace("*", letter) for pattern in patterns for letter in "abc"]
    gateway = start_gateway(nats.url, [{"name": name, "direction": "inbound"} for name in patterns])
    await gateway.ready()
    steady = await websocket.open(gateway, *concrete)
    traffic = Traffic(concrete)
    await traffic.start(nats)
    most: Counter[str] = Counter()
    visitors: list[Client] = []
    done = asyncio.Event()

    async def visit(pattern: str) -> None:
        """There and back twice, each change waited for."""
        for _ in range(2):
            visitor = await websocket.open(gateway, pattern)
            await changed({pattern: 1, pattern.replace("*", "a"): 0})
            await visitor.close()
            visitors.append(visitor)
            await changed({pattern: 0, pattern.replace("*", "a"): 1})

    async def visit_restlessly(pattern: str) -> None:
        """Leaves, and comes back while the subscriptions are being changed; the linger is 5 s."""
        for seconds in itertools.cycle((5.2, 5.9, 6.6)):
            visitor = await websocket.open(gateway, pattern)
            await arrived(visitor.received, 100)
            await visitor.close()
            visitors.append(visitor)
            if done.is_set():
                return
            await asyncio.sleep(seconds)

    async def changed(wanted: dict[str, int]) -> None:
        await eventually(lambda: wanted.items() <= {**dict.fromkeys(wanted, 0), **seen[-1]}.items(), str(wanted))

    seen = [interest(nats)]

    async def watch() -> None:
        while not done.is_set():
            seen.append(interest(nats))
            most.update({s: n - most[s] for s, n in seen[-1].items() if n > most[s]})
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    restless = [asyncio.create_task(visit_restlessly(pattern)) for pattern in patterns if "3" in pattern]
    await asyncio.gather(*(visit(pattern) for pattern in patterns if "3" not in pattern))
    done.set()
    await asyncio.gather(watching, *restless)
    await traffic.stop()
    await eventually(lambda: [p for _, p in steady.received].count("mark") == len(concrete), "the marks")

    assert {name: most[name] for name in patterns + concrete} == dict.fromkeys(patterns + concrete, 1)
    for name in concrete:
        got = [str(payload) for channel, payload in steady.received if channel == name]
        assert got.pop() == "mark"
        assert Counter(got) == Counter(traffic.sent[name])
        if name.startswith("unique"):
            for publisher in range(3):
                assert of_publisher(got, publisher) == of_publisher(traffic.sent[name], publisher)
    for visitor in visitors:
        got = [str(payload) for _, payload in visitor.received]
        for subject in {payload.split()[0] for payload in got if payload.startswith("unique")}:
            mine = [payload for payload in got if payload.startswith(f"{subject} ")]
            for publisher in range(3):
                numbers = [int(payload.split()[2]) for payload in of_publisher(mine, publisher)]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

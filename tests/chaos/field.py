"""Two gateways at NATS with JetStream, publishers, and clients of every kind at both: what faults are made in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats
import orjson
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig

from chaos.clients import KINDS, ChaosClient
from chaos.ledger import Account, Ledger
from chaos.posts import PostAccount, account_posts
from chaos.publishers import HttpPublisher, NatsPublisher, Publisher
from helpers.gateway import GatewayProcess
from helpers.nats_cluster import SIZE, cluster
from helpers.nats_server import NatsServer
from helpers.ports import lasting_port
from helpers.proxy import Proxy
from helpers.waiting import eventually

CHANNEL = "orders"
STREAM = "ORDERS"
GATEWAYS = 2
#: Between two messages of the publisher behind NATS, and of each at the gateways.
PACE_SECONDS, HTTP_PACE_SECONDS = 0.002, 0.02
LONG_PACE_SECONDS = 0.01
#: What a slow client may leave waiting at its gateway.
OUTBOX = {"messages": 4096, "bytes": 256 * 1024}
#: What a network to far clients has room for on the way.
WAY_BYTES = 32 * 1024
SETTLED_SECONDS = 90.0
THE_END = "the end"


@dataclass(frozen=True, slots=True)
class Setup:
    """``cluster``: NATS is three servers, and they all have the stream. ``network``: there is one to NATS with faults.

    ``own_stream``: it is made by the field, without limits so far, and refuses what it has no room for; else the
    gateways make it.
    """

    cluster: bool = False
    network: bool = False
    own_stream: bool = False

    def has(self, other: Setup) -> bool:
        """Whether all of ``other`` is there, too."""
        mine = self.cluster, self.network, self.own_stream
        return all(
            here or not there
            for here, there in zip(mine, (other.cluster, other.network, other.own_stream), strict=True)
        )


PLAIN = Setup()


class FixedPortGateway(GatewayProcess):
    """One that takes the same port whenever it is started."""

    fixed_port = 0

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        return "wsgw", "server", "-c", self.file, "-p", str(self.fixed_port), "-l", "info"


class Field:
    """``open`` it first, ``close`` it in the end. ``folder(name)`` makes directories."""

    kinds: tuple[type[ChaosClient], ...] = KINDS

    def __init__(self, folder: Callable[[str], Path], seed: int, setup: Setup = PLAIN) -> None:
        self.setup = setup
        self.chance = random.Random(seed)
        self.clients: list[ChaosClient] = []
        self.publishers: list[Publisher] = []
        self.streams = 0  # that were there before this one
        #: are made in it, at the same time, so that one need not come to what it would alone
        self.several_faults = False
        self.ports = [lasting_port() for _ in range(GATEWAYS)]
        self.gateways: list[GatewayProcess | None] = [None] * GATEWAYS
        self.servers: list[NatsServer] = []
        #: of each gateway: to its far clients, and to the servers
        self.ways: list[Proxy] = []
        self.networks: list[list[Proxy]] = []
        self._started: list[GatewayProcess] = []
        self._folder = folder
        self._peer: Client

    async def open(self, each_kind: int = 4) -> None:
        """Start everything, with so many clients of each kind; every other one is far."""
        self.servers = await asyncio.to_thread(self._start_servers)
        self.ways = [await Proxy.start(port, WAY_BYTES) for port in self.ports]
        self.networks = [
            [await Proxy.start(server.port) for server in self.servers] if self.setup.network else []
            for _ in range(GATEWAYS)
        ]
        urls = [server.url for server in self.servers]
        self._peer = await nats.connect(urls, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_quiet)
        if self.setup.own_stream:
            await self.make_stream()
        await asyncio.gather(*map(self.start_gateway, range(GATEWAYS)))
        for gateway in self.gateways:
            assert gateway is not None
            await gateway.ready()
        for kind in self.kinds:
            for number in range(each_kind):
                self.add_client(kind, far=number % 2 == 1)
        await eventually(lambda: all(client.joined for client in self.clients), "all know where they stand")
        self.publishers = self.make_publishers(self._peer)
        for publisher in self.publishers:
            publisher.start()
        await self.progress(20)

    def make_publishers(self, peer: Client) -> list[Publisher]:
        """The first one is behind NATS, and its messages are numbers."""
        numbers = NatsPublisher(peer, CHANNEL, lambda: self.streams, PACE_SECONDS)
        return [numbers, *(self._http_publisher(name) for name in "ab")]

    def channel_settings(self) -> dict[str, Any]:
        """Of the one channel."""
        durable: dict[str, Any] = {"stream": STREAM, "replicas": SIZE if self.setup.cluster else 1}
        if self.setup.own_stream:
            durable = {"stream": STREAM, "managed": False}
        return {"name": CHANNEL, "direction": "both", "durable": durable, "outbox": OUTBOX}

    def add_client(self, kind: type[ChaosClient], *, far: bool = False) -> ChaosClient:
        ports = [way.port for way in self.ways] if far else self.ports
        client = kind(ports, CHANNEL, random.Random(self.chance.random()), far=far)
        self.clients.append(client)
        return client

    async def start_gateway(self, number: int) -> None:
        servers = self.networks[number] or self.servers
        configuration: dict[str, Any] = {
            "nats": {"servers": [server.url for server in servers]},
            "channels": [self.channel_settings()],
        }
        made = type("Gateway", (FixedPortGateway,), {"fixed_port": self.ports[number]})
        gateway = await asyncio.to_thread(made, self._folder("gateway"), configuration)
        self.gateways[number] = gateway
        self._started.append(gateway)

    def gateway(self, number: int) -> GatewayProcess:
        gateway = self.gateways[number]
        assert gateway is not None
        return gateway

    @property
    def sent(self) -> int:
        """Messages that were begun, by all publishers."""
        return sum(len(publisher.posts) for publisher in self.publishers)

    async def progress(self, count: int) -> None:
        """Returns when ``count`` more messages of the publisher behind NATS are stored."""
        until = len(self.publishers[0].posts) + count
        await eventually(lambda: len(self.publishers[0].posts) > until, f"{count} more are stored", SETTLED_SECONDS)

    async def recovery(self) -> float:
        """Seconds until every client has a message that was published after now."""
        began, number = time.monotonic(), len(self.publishers[0].posts)
        await eventually(
            lambda: all(client.newest >= number for client in self.clients),
            "every client has a message of afterwards",
            SETTLED_SECONDS,
        )
        return time.monotonic() - began

    @contextlib.asynccontextmanager
    async def padded(self, size: int) -> AsyncIterator[None]:
        """Messages are longer by ``size`` bytes, and fewer."""
        self.publishers[0].padding, self.publishers[0].pace_seconds = size, LONG_PACE_SECONDS
        try:
            yield
        finally:
            self.publishers[0].padding, self.publishers[0].pace_seconds = 0, PACE_SECONDS

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of it at all gateways that answer."""
        total = 0.0
        for number in range(GATEWAYS):
            with contextlib.suppress(httpx.HTTPError):
                total += await asyncio.to_thread(self.gateway(number).metric, name, **labels)
        return total

    async def metric_is(
        self, wanted: Callable[[float], bool], deadline_seconds: float, name: str, **labels: str
    ) -> None:
        """Returns when ``metric`` is as ``wanted``; AssertionError when the time is over."""
        deadline = time.monotonic() + deadline_seconds
        while not wanted(count := await self.metric(name, **labels)):
            assert time.monotonic() < deadline, f"{name} {labels} is {count} after {deadline_seconds:g} s"
            await asyncio.sleep(0.1)

    async def ask(self, verb: str, **request: object) -> dict[str, Any]:
        """JetStream's own API, until it answers, and can."""
        while True:
            with contextlib.suppress(NatsError):
                reply = await self._peer.request(f"$JS.API.{verb}", orjson.dumps(request), timeout=5)
                answer: dict[str, Any] = orjson.loads(reply.data)
                if answer.get("error", {}).get("code") != 503:
                    return answer
            await asyncio.sleep(0.1)

    async def make_stream(self) -> None:
        """The field's own one."""
        await self.ask(f"STREAM.CREATE.{STREAM}", **self.stream_configuration())

    def stream_configuration(self, max_bytes: int = -1) -> dict[str, object]:
        """Of the field's own stream."""
        return {
            "name": STREAM,
            "subjects": [CHANNEL],
            "storage": "file",
            "discard": "new",
            "allow_direct": True,
            "num_replicas": SIZE if self.setup.cluster else 1,
            "max_bytes": max_bytes,
        }

    async def start_missing(self) -> None:
        """Start the gateways that are not there."""
        for number, gateway in enumerate(self.gateways):
            if gateway is None or gateway.process.poll() is not None:
                await self.start_gateway(number)

    def check_logs(self) -> None:
        """No gateway logs a fault."""
        for gateway in self._started:
            assert "Traceback" not in gateway.output, f"a gateway logs a fault: {gateway.output[-5000:]}"

    async def settle(self) -> tuple[Account, PostAccount]:
        """Publish a last message, wait until every client has it, and account for all."""
        await self.start_missing()
        await self.progress(5)
        for publisher in self.publishers:
            await publisher.stop()
        await self.publishers[0].send(THE_END)
        await eventually(self._all_have_the_end, "every client has the last message", SETTLED_SECONDS)
        held = await self._held()
        ledger = Ledger(self.clients[0].entries[-1].identity, held)
        accounts = [ledger.account(client.entries) for client in self.clients]
        for client, account in zip(self.clients, accounts, strict=True):
            if not account.good:
                print(f"\n{type(client).__name__}, far: {client.far}, ends: {dict(client.ends)}: {account}")
                print(f"    {ledger.first_flaw(client.entries)}")
        total = sum(accounts, Account())
        first = min(held)
        posts = [account_posts(publisher.posts, held, self.streams, first) for publisher in self.publishers]
        self.check_logs()
        return total, sum(posts, PostAccount())

    async def close(self) -> None:
        for publisher in self.publishers:
            await publisher.abandon()
        for client in self.clients:
            await client.stop()
        if self.servers:
            await self._peer.close()
        for gateway in self._started:
            gateway.kill()
        for proxy in (*self.ways, *(proxy for network in self.networks for proxy in network)):
            await proxy.close()
        for server in self.servers:
            server.thaw()
            server.stop()

    # -- inside

    def _start_servers(self) -> list[NatsServer]:
        if self.setup.cluster:
            return cluster(self._folder)
        store = self._folder("nats")
        return [NatsServer(store, f'jetstream {{store_dir: "{store}"}}', lasting_port())]

    def _http_publisher(self, name: str) -> HttpPublisher:
        chance = random.Random(self.chance.random())
        return HttpPublisher(name, self.ports, CHANNEL, lambda: self.streams, HTTP_PACE_SECONDS, chance)

    def _all_have_the_end(self) -> bool:
        return all(client.entries and client.entries[-1].payload == THE_END.encode() for client in self.clients)

    async def _held(self) -> dict[int, bytes]:
        """What the stream has, by sequence."""
        last = (await self.ask(f"STREAM.INFO.{STREAM}"))["state"]["last_seq"]
        held: dict[int, bytes] = {}
        while last not in held:
            with contextlib.suppress(NatsError):  # a server that was started just now
                await self._read(last, held)
        return held

    async def _read(self, last: int, held: dict[int, bytes]) -> None:
        messages = await self._peer.jetstream().subscribe(
            "",
            stream=STREAM,
            config=ConsumerConfig(ack_policy=AckPolicy.NONE),
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        while last not in held:
            message = await messages.next_msg(5)
            held[message.metadata.sequence.stream] = message.data
        await messages.unsubscribe()


async def _quiet(_: Exception) -> None:
    """What is done to the servers must not print."""

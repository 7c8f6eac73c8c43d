"""What ended is freed by reference counts: nothing of a session waits for the cyclic collector, however it ended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from helpers.nats_server import NatsServer
from helpers.running import running
from helpers.session import started
from helpers.waiting import eventually
from wsgw.access.principal import Principal
from wsgw.bridges.durable import DurableBridge
from wsgw.bridges.following import Following
from wsgw.core.backpressure import BackPressure
from wsgw.core.gateway import Gateway
from wsgw.core.places import Places
from wsgw.core.session import Session
from wsgw.errors import GatewayError
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import Outbox
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio.engine import Engine
from wsgw.protocols.engineio.packets import decode_payload
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.multiplexer import Multiplexer
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.answers import Answers
from wsgw.surfaces.socketio.channels import ChannelsHandler
from wsgw.surfaces.socketio.engineio import Options
from wsgw.surfaces.socketio.namespace import ChannelsNamespace
from wsgw.surfaces.socketio.recovery import Recovery, open_sender
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.surfaces.socketio.session import EngineSession
from wsgw.surfaces.socketio.subscriptions import Subscriptions
from wsgw.surfaces.socketio.websocket import WebSocketEnd

from .endpoint import FakeLink

TYPES = (
    Ack,
    Answers,
    BackPressure,
    ChannelsHandler,
    Engine,
    EngineSession,
    FakeLink,
    Following,
    GatewayError,
    Handshake,
    Multiplexer,
    Outbox,
    Places,
    Principal,
    Recovery,
    Sender,
    Session,
    Socket,
    Subscriptions,
    WebSocketEnd,
)
COUNT = 10


class Left:
    """The names of those objects of TYPES that exist since it was made. Nothing is collected for it."""

    def __init__(self) -> None:
        gc.collect()
        self._before = [each for each in gc.get_objects() if isinstance(each, TYPES)]
        self._known = set(map(id, self._before))

    def __call__(self) -> list[str]:
        found = [each for each in gc.get_objects() if isinstance(each, TYPES) and id(each) not in self._known]
        return sorted(type(each).__name__ for each in found)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def text(data: str) -> Message:
    return Message(True, data.encode())


class Opened:
    """A session of a Socket.IO endpoint, with a link by hand where it has a WebSocket."""

    def __init__(self, server: SocketIOServer, query: bytes = b"channels=IN,chat.1", *, websocket: bool) -> None:
        headers = [(b"cookie", b"a=b")]
        self.session, _ = server._open(Handshake("/socket.io/", query, headers, ""), websocket=websocket)
        self.end: WebSocketEnd | None = None
        if websocket:
            self.attach(self.session.use(WebSocketEnd(self.session)))

    def attach(self, end: WebSocketEnd) -> None:
        self.end = end
        end.opened(FakeLink(end))

    def send(self, *packets: str) -> None:
        if self.end is not None and self.session.engine.state.name == "WEBSOCKET":
            self.end.messages_received([text(packet) for packet in packets])
        else:
            for packet in packets:
                self.session.message_received(packet[1:])

    def upgrade(self) -> None:
        self.attach(self.session.websocket_opened())
        assert self.end is not None
        self.end.messages_received([text("2probe"), text("5")])

    def lose(self, code: int) -> None:
        """As a link does, last."""
        if self.end is not None:
            self.end.lost(code)

    async def work(self) -> None:
        """Connects, subscribes, leaves, publishes, asks and is refused."""
        self.send("40")
        await eventually(lambda: self.session._connect_by == float("inf"), "accepted")
        self.send('420["OUT","x"]', '421["NOPE","x"]', '422["OUT","x","y"]', '423["SUM","x"]', '424["IN","x"]')
        self.send('425["wsgw:subscribe","chat.2"]', '426["wsgw:unsubscribe","chat.2"]', '427["wsgw:subscribe","NOPE"]')
        await asyncio.sleep(0.02)


async def client_closes(opened: Opened) -> None:
    if opened.end is None:
        opened.session.post_started()
        opened.session.engine.post_received(decode_payload(b"1"))
    else:
        opened.end.messages_received([text("1")])


async def ping_times_out(opened: Opened) -> None:
    now = asyncio.get_running_loop().time()
    opened.session.engine.tick(now + 30)
    opened.session.engine.tick(now + 100)


async def server_closes(opened: Opened) -> None:
    opened.session.close(1001)
    opened.session.engine.tick(asyncio.get_running_loop().time() + 100)  # a poll would have taken what waited


async def memory_is_short(opened: Opened) -> None:
    opened.session.evict()


async def poll_is_lost(opened: Opened) -> None:
    while isinstance(opened.session.poll(), bytes):
        pass
    opened.session.poll_lost()


async def websocket_is_lost(opened: Opened) -> None:
    assert opened.end is not None
    opened.end.lost(1006)


async def client_leaves_first(opened: Opened) -> None:
    opened.send("41", "40", "41", "40")
    await asyncio.sleep(0.01)
    opened.session.fail(1000)


async def packet_is_broken(opened: Opened) -> None:
    opened.send("4nonsense")


WAYS: list[tuple[Callable[[Opened], Awaitable[None]], str]] = [
    *[
        (way, kind)
        for way in (client_closes, ping_times_out, server_closes, memory_is_short)
        for kind in ("polling", "websocket", "upgrade")
    ],
    *[(way, kind) for way in (client_leaves_first, packet_is_broken) for kind in ("polling", "websocket")],
    (poll_is_lost, "polling"),
    (websocket_is_lost, "websocket"),
    (websocket_is_lost, "upgrade"),
]


def endpoint(gateway: Gateway) -> SocketIOServer:
    return SocketIOServer(
        {"/": ChannelsNamespace(gateway)},
        Options(lambda: 10_000, lambda: 10_000),
        edge=gateway.edge,
        open_sender=partial(open_sender, gateway),
    )


@pytest.mark.parametrize(("way", "kind"), WAYS, ids=lambda value: value if isinstance(value, str) else value.__name__)
async def test_every_end(nats: NatsServer, way: Callable[[Opened], Awaitable[None]], kind: str) -> None:
    async with started(nats.url) as gateway:
        server, left = endpoint(gateway), Left()
        for _ in range(COUNT):
            opened = Opened(server, websocket=kind == "websocket")
            await opened.work()
            if kind == "upgrade":
                opened.upgrade()
            await way(opened)
            opened.lose(1006)
        del opened
        await asyncio.sleep(0.01)
        assert not server._sessions
        assert left() == []
        assert gateway.edge.memory.used_bytes == 0


def is_accepted(opened: Opened) -> bool:
    return opened.session._connect_by == float("inf")


@pytest.mark.parametrize("known", [True, False], ids=["placed", "waiting"])
@pytest.mark.parametrize("way", [client_closes, memory_is_short, websocket_is_lost, client_leaves_first])
async def test_with_recovery(jetstream: NatsServer, way: Callable[[Opened], Awaitable[None]], known: bool) -> None:
    """Also of one that goes while its place is not known."""
    channels = [{"name": "room.*", "direction": "both", "durable": {"stream": "ROOMS"}}]
    async with running(jetstream.url, channels=channels) as served:
        server, bridge = endpoint(served.gateway), served.gateway.bridges._bridges["room.*"]
        assert isinstance(bridge, DurableBridge)
        if not known:
            bridge.history = None  # as before the stream was looked at
        left = Left()
        for _ in range(COUNT):
            opened = Opened(server, b"channels=room.1&recovery=1", websocket=True)
            opened.send('40{"pid":"x~1.0123456789-5"}', '425["wsgw:subscribe","room.2"]')
            if known:
                await eventually(partial(is_accepted, opened), "accepted")
                opened.send('426["wsgw:unsubscribe","room.1"]', '427["wsgw:subscribe","NOPE"]')
            else:
                await eventually(lambda: bridge._waiting, "it waits")
            await asyncio.sleep(0.01)
            await way(opened)
            opened.lose(1006)
        del opened
        await asyncio.sleep(0.01)
        assert left() == []
        assert not bridge._followings
        assert not bridge._keys


async def test_a_refused_connect(nats: NatsServer) -> None:
    async with started(nats.url) as gateway:
        server, left = endpoint(gateway), Left()
        for query in [b"channels=NOPE", b"channels=IN,OUT"] * COUNT:
            opened = Opened(server, query, websocket=True)
            opened.send("40")
            await asyncio.sleep(0.01)
            opened.session.fail(1002)
            opened.lose(1002)
        del opened
        assert left() == []

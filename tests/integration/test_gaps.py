"""What plain channels cannot keep they tell: by every protocol that can say it, once, and in its place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.client_socketio import SocketIOClient
from helpers.event_stream import EventParser
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.proxy import Proxy
from helpers.waiting import eventually

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "closing", "direction": "inbound", "on_gap": "close"},
    {"name": "chat.*", "direction": "both"},
    {"name": "kept", "direction": "inbound", "durable": True},
]
GAP = "(gap)"


class Heard:
    """What one client got: (name, payload), and (GAP, its names joined) where it was told of one."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.code: int | None = None

    def of(self, name: str) -> list[str]:
        return [payload for channel, payload in self.all if channel == name]

    def has(self, payload: str) -> bool:
        return payload in [said for _, said in self.all]

    def was_told(self, times: int) -> bool:
        return len(self.gaps) == times

    @property
    def gaps(self) -> list[str]:
        return self.of(GAP)

    def gap(self, said: dict[str, Any]) -> None:
        assert said["missed"] is None
        self.all.append((GAP, ",".join(sorted(said["channels"]))))


class Clients:
    """Opens clients of each kind at one gateway."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._heard: list[Heard] = []
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def websocket(self, name: str, query: str = "") -> Heard:
        connection = await connect(self._gateway.websocket(name) + query, proxy=None, compression=None)
        heard = self._new(connection.close)
        heard.tasks.append(asyncio.create_task(self._read(heard, name, connection)))
        return heard

    async def sse(self, path: str, name: str = "") -> Heard:
        http = httpx.AsyncClient(trust_env=False, timeout=None)
        heard = self._new(http.aclose)
        heard.tasks.append(asyncio.create_task(self._read_events(heard, name, http, self._gateway.url + path)))
        return heard

    async def socketio(self, *names: str, transport: str = "websocket") -> Heard:
        client = SocketIOClient()
        heard = self._new(client.close)

        def event(name: str, *arguments: Any) -> None:
            if name == "wsgw:gap":
                heard.gap(arguments[0])
            else:
                heard.all.append((name, str(arguments[0])))

        client.sio.on("*", event)
        await client.join(self._gateway, names or None, [transport])
        return heard

    async def close(self) -> None:
        for end in self._ends:
            await end()
        for heard in self._heard:
            for task in heard.tasks:
                task.cancel()
            await asyncio.gather(*heard.tasks, return_exceptions=True)

    def _new(self, end: Callable[[], Awaitable[None]]) -> Heard:
        heard = Heard()
        self._heard.append(heard)
        self._ends.append(end)
        return heard

    async def _read(self, heard: Heard, name: str, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                said = json.loads(text) if text[:1] == "{" else {"text": text}
                if said.get("event") == "gap":
                    heard.gap(said)
                elif "event" not in said:
                    heard.all.append((name, str(said["text"])))
        except ConnectionClosed:
            pass
        heard.code = connection.close_code

    async def _read_events(self, heard: Heard, name: str, http: httpx.AsyncClient, url: str) -> None:
        parser = EventParser()
        async with http.stream("GET", url) as answer:
            async for data in answer.aiter_raw():
                for event in parser.feed(data):
                    if event.event == "wsgw:gap":
                        heard.gap(json.loads(event.data))
                    elif name:
                        heard.all.append((name, event.data))
                    else:
                        said = json.loads(event.data)
                        heard.all.append((said["channel"], said["text"]))


@pytest.fixture
def nats(start_nats: StartNats, tmp_path_factory: pytest.TempPathFactory) -> NatsServer:
    """A server to break."""
    return start_nats(f"jetstream {{store_dir: {tmp_path_factory.mktemp('jetstream')}}}")


@pytest.fixture
async def gateway(nats: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    return gateway


@pytest.fixture
async def clients(gateway: GatewayProcess) -> AsyncIterator[Clients]:
    made = Clients(gateway)
    yield made
    await made.close()


async def subscribed(gateway: GatewayProcess, **counts: int) -> None:
    for channel, count in counts.items():
        name = "chat.*" if channel == "chat" else channel
        await eventually(partial(_has, gateway, name, count), f"{count} are subscribed to {name}")


def _has(gateway: GatewayProcess, channel: str, count: int) -> bool:
    return gateway.metric("wsgw_subscriptions", channel=channel) == count


async def publish(nats: NatsServer, *messages: tuple[str, str]) -> None:
    peer = await Peer.connect(nats.url)
    for subject, payload in messages:
        await peer.publish(subject, payload)
    await peer.close()


async def test_an_outage_is_told_once_and_in_its_place(
    nats: NatsServer, gateway: GatewayProcess, clients: Clients
) -> None:
    bare, enveloped = await clients.websocket("IN"), await clients.websocket("IN", "?envelope=1")
    room = await clients.websocket("chat.1", "?envelope=1")
    one, several = await clients.sse("/sse/IN", "IN"), await clients.sse("/sse?channel=IN&channel=chat.1&channel=kept")
    socket = await clients.socketio("IN", "chat.1", "chat.2")
    polling = await clients.socketio("IN", transport="polling")
    mixed, everything = await clients.socketio("IN", "kept"), await clients.socketio()
    durable = await clients.websocket("kept", "?envelope=1")
    of_one = [enveloped, one, polling, mixed]
    of_several = [several, socket]

    async def all_have(payload: str) -> None:
        for heard in (bare, room, durable, *of_one, *of_several, everything):
            await eventually(partial(heard.has, payload), payload)

    async def told(times: int, *those: Heard) -> None:
        for heard in those:
            await eventually(partial(heard.was_told, times), f"told {times} times")

    await subscribed(gateway, IN=8, chat=5, kept=4)
    for number in range(1, 3):
        await publish(nats, ("IN", f"before {number}"), ("chat.1", f"before {number}"), ("kept", f"before {number}"))
        await all_have(f"before {number}")
        nats.stop()
        await gateway.ready(False)
        nats.start()
        await gateway.ready()
        await told(number, socket, room)
        await publish(nats, ("IN", f"after {number}"), ("chat.1", f"after {number}"), ("kept", f"after {number}"))
        await all_have(f"after {number}")
    wanted = ["before 1", GAP, "after 1", "before 2", GAP, "after 2"]

    def places(heard: Heard, name: str) -> list[str]:
        return [GAP if channel == GAP else payload for channel, payload in heard.all if channel in (GAP, name)]

    for heard in of_one:
        assert places(heard, "IN") == wanted
        assert heard.gaps == ["IN", "IN"]
    assert places(room, "chat.1") == wanted
    assert room.gaps == ["chat.1", "chat.1"]
    assert several.gaps == ["IN,chat.1"] * 2
    assert socket.gaps == ["IN,chat.1,chat.2"] * 2
    for heard in of_several:
        assert places(heard, "IN") == places(heard, "chat.1") == wanted
    assert everything.gaps == ["IN,chat.*,closing"] * 2, "all of them but what a stream holds"
    assert bare.of("IN") == [text for text in wanted if text != GAP]
    assert bare.code is None
    assert durable.gaps == []
    assert durable.of("kept") == ["before 1", "after 1", "before 2", "after 2"]
    assert mixed.of("kept") == durable.of("kept")
    assert gateway.metric("wsgw_gaps_total", channel="IN") == 2


async def test_a_bare_websocket_is_closed_where_the_channel_wants_it(
    nats: NatsServer, gateway: GatewayProcess, clients: Clients
) -> None:
    bare, enveloped = await clients.websocket("closing"), await clients.websocket("closing", "?envelope=1")
    await subscribed(gateway, closing=2)
    await publish(nats, ("closing", "before"))
    await eventually(lambda: bare.all and enveloped.all, "what came before")
    nats.stop()
    await gateway.ready(False)
    assert bare.code is None, "it is closed when coming back makes sense"
    nats.start()
    await eventually(lambda: bare.code, "closed")
    assert bare.code == 4100
    assert bare.of("closing") == ["before"]
    await eventually(lambda: enveloped.gaps == ["closing"], "told")
    assert enveloped.code is None
    assert gateway.metric("wsgw_closes_total", code="4100") == 1


async def test_where_nats_gives_the_gateway_up_as_slow(start_nats: StartNats, start_gateway: StartGateway) -> None:
    """It drops the connection of who does not take what comes; what it had for it is lost."""
    nats = start_nats('write_deadline: "1s"\nmax_pending: 1MB\n')
    proxy = await Proxy.start(nats.port)
    gateway = start_gateway(f"nats://127.0.0.1:{proxy.port}", CHANNELS[:1])
    await gateway.ready()
    clients = Clients(gateway)
    heard = await clients.socketio("IN")
    await subscribed(gateway, IN=1)
    await publish(nats, ("IN", "before"))
    await eventually(lambda: heard.of("IN") == ["before"], "what came before")
    proxy.hold()
    peer = await Peer.connect(nats.url)
    for _ in range(40):
        await peer.publish("IN", *["x" * 100_000] * 10)
    proxy.restore()
    await eventually(lambda: heard.gaps, "told")
    await gateway.ready()
    await peer.publish("IN", "after")
    await eventually(lambda: "after" in heard.of("IN"), "what came after")
    assert heard.gaps == ["IN"]
    place = heard.all.index((GAP, "IN"))
    assert heard.all[0] == ("IN", "before")
    assert heard.all[-1] == ("IN", "after")
    assert 0 < place < len(heard.all) - 1
    assert len(heard.of("IN")) < 402, "something was lost indeed"
    await peer.close()
    await clients.close()
    await proxy.close()

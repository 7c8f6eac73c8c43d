"""The installed gateway reads its configuration again: at SIGHUP, under load, and as a mounted ConfigMap changes.

``WSGW_RELOAD_CLIENTS=1000`` is the long form of the one under load.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import ClientConnection, connect

from helpers.client_socketio import SocketIOTransport
from helpers.client_sse import SseTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived, eventually

CLIENTS = int(os.environ.get("WSGW_RELOAD_CLIENTS", "150"))
RELOADS = 6
#: Numbers that are published behind each.
BEHIND = 20 if CLIENTS < 1000 else 100

STEADY: list[dict[str, Any]] = [
    {"name": "steady", "direction": "inbound"},
    {"name": "room.*", "direction": "both"},
]
#: One configuration after the other; what clients under load use is in each of them.
OTHERS: list[list[dict[str, Any]]] = [
    [{"name": "extra", "direction": "inbound"}],
    [{"name": "extra", "direction": "inbound", "subject": "elsewhere"}],
    [{"name": "extra", "direction": "inbound", "subject": "elsewhere", "outbox": {"messages": 7}}],
    [{"name": "room.vip", "direction": "inbound", "subject": "vip"}, {"name": "ask", "direction": "request"}],
    [],
    [{"name": "room.vip.>", "direction": "both"}, {"name": "extra", "direction": "both"}],
]


def write(gateway: GatewayProcess, channels: list[dict[str, Any]], **more: Any) -> None:
    values = yaml.safe_load(gateway.file.read_text()) | {"channels": channels} | more
    gateway.file.with_suffix(".new").write_text(yaml.safe_dump(values))
    gateway.file.with_suffix(".new").rename(gateway.file)


async def reload(gateway: GatewayProcess, channels: list[dict[str, Any]], **more: Any) -> None:
    """Returns when it has read them."""
    write(gateway, channels, **more)
    count = gateway.output.count("configuration read again: ")
    gateway.send(signal.SIGHUP)
    await gateway.printed("configuration read again: ", count + 1)


class Numbered:
    """A client that expects the numbers from 0 on."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.got: list[int] = []

    async def run(self) -> None:
        async for message in self._socket:
            self.got.append(int(message))


async def read(socket: ClientConnection) -> None:
    """Take what comes, which is what all of the channel send."""
    async for _ in socket:
        pass


async def test_who_uses_what_did_not_change_notices_nothing(
    nats_server: NatsServer, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(nats_server.url, STEADY)
    await gateway.ready()
    peer = await Peer.connect(nats_server.url)
    sockets = []
    for number in range(CLIENTS):
        name = "steady" if number % 2 else "room.1"
        sockets.append(await connect(gateway.websocket(name), proxy=None, ping_interval=None))
    clients = [Numbered(socket) for socket in sockets]
    running = [asyncio.create_task(client.run()) for client in clients]
    await eventually(lambda: gateway.metric("wsgw_subscriptions") == CLIENTS, "all are subscribed")
    sending = [await connect(gateway.websocket("room.2"), proxy=None) for _ in range(2)]
    running += [asyncio.create_task(read(socket)) for socket in sending]
    sent, stopping, published = [0, 0], asyncio.Event(), 0
    got = await peer.listen("room.2")

    async def publish() -> None:
        nonlocal published
        while not stopping.is_set():
            for _ in range(5):
                await peer.publish("steady", str(published))
                await peer.publish("room.1", str(published))
                published += 1
            await asyncio.sleep(0.01)

    async def send(number: int) -> None:
        while not stopping.is_set():
            await sending[number].send(f"{number} {sent[number]}")
            sent[number] += 1
            await asyncio.sleep(0.001)

    working = [asyncio.create_task(work) for work in (publish(), send(0), send(1))]
    for others in OTHERS[:RELOADS]:
        await reload(gateway, [*STEADY, *others])
        count = published
        await eventually(lambda: published > count + BEHIND, "some more")  # noqa: B023
    stopping.set()
    await asyncio.gather(*working)
    for client in clients:
        await arrived(client.got, published)
    wanted = list(range(published))
    assert [number for number, client in enumerate(clients) if client.got != wanted] == []
    for number, socket in enumerate(sending):
        await socket.close()
        assert socket.close_code == 1000, socket.close_reason
        of_it = [int(payload.split()[1]) for payload in got if payload.startswith(b"%d " % number)]
        assert of_it == list(range(sent[number]))
    print(f"\n{RELOADS} reloads, {CLIENTS} clients, {published * CLIENTS} messages to them and {sum(sent)} of 2 others")
    assert gateway.metric("wsgw_config_reloads_total", result="success") == RELOADS
    assert gateway.metric("wsgw_config_reloads_total", result="failure") == 0
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await asyncio.gather(*(socket.close() for socket in sockets))
    await peer.close()
    await gateway.stop()


async def test_what_clients_of_changed_channels_are_told(nats_server: NatsServer, start_gateway: StartGateway) -> None:
    channels = [
        {"name": "gone", "direction": "inbound"},
        {"name": "other", "direction": "inbound"},
        {"name": "same", "direction": "inbound"},
    ]
    gateway = start_gateway(nats_server.url, channels)
    await gateway.ready()
    peer = await Peer.connect(nats_server.url)
    transport, streams = SocketIOTransport("websocket"), SseTransport("one")
    everything = await transport.open(gateway, everything=True)
    some = await transport.open(gateway, "gone", "other")
    gone, other = [await connect(gateway.websocket(name), proxy=None) for name in ("gone", "other")]
    ended = await streams.open(gateway, "gone")
    await eventually(lambda: gateway.metric("wsgw_subscriptions") == 3 + 2 + 2 + 1, "subscribed")
    await reload(
        gateway,
        [
            {"name": "other", "direction": "inbound", "subject": "moved"},
            {"name": "same", "direction": "inbound"},
            {"name": "new", "direction": "inbound"},
        ],
        nats={"servers": [nats_server.url], "user": "another"},
    )
    await gone.wait_closed()
    await other.wait_closed()
    assert (gone.close_code, gone.close_reason) == (4504, "there is no channel 'gone' any more")
    assert (other.close_code, other.close_reason) == (1012, "channel 'other' is configured otherwise by now")
    await eventually(lambda: not ended.connected, "the stream ends")
    assert "configuration read again: added new; removed gone; restarted other" in gateway.messages
    assert "configuration read again: as before until a restart: nats.user" in gateway.messages
    await gateway.ready()
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="new") == 1, "it has the new one")
    await peer.publish("moved", "1")
    await peer.publish("new", "2")
    await peer.publish("same", "3")
    await arrived(everything.events, 5)
    await arrived(some.events, 3)
    error = {"code": "unknown_channel", "message": "there is no channel 'gone' any more"}
    told = [
        ("wsgw:unsubscribed", {"channel": "gone", "error": error}),
        ("wsgw:gap", {"channels": ["other"], "missed": None}),
        ("other", "1"),
    ]
    assert some.events == told
    assert sorted(map(str, everything.events)) == sorted(map(str, [*told, ("new", "2"), ("same", "3")]))
    await transport.close()
    await streams.close()
    await peer.close()
    await gateway.stop()


async def test_a_bad_file_changes_nothing(nats_server: NatsServer, start_gateway: StartGateway) -> None:
    gateway = start_gateway(nats_server.url, STEADY)
    await gateway.ready()
    client = await connect(gateway.websocket("steady"), proxy=None)
    peer = await Peer.connect(nats_server.url)
    write(gateway, [{"name": "new", "direction": "inbound"}, {"name": "new", "direction": "upward"}])
    gateway.send(signal.SIGHUP)
    await gateway.printed("configuration not reloaded: ")
    said = next(line for line in gateway.messages if line.startswith("configuration not reloaded: "))
    where = r"configuration not reloaded: \S+gateway\.yml:\d+: channels\[1\]\.direction: 'upward' is not one of"
    assert re.match(where, said), said
    await eventually(lambda: gateway.metric("wsgw_config_reloads_total", result="failure") == 1, "counted")
    assert gateway.metric("wsgw_config_last_reload_successful") == 0
    await peer.publish("steady", "1")
    assert await client.recv() == "1"
    await client.close()
    await peer.close()
    await gateway.stop()


async def test_a_mounted_config_map(nats_server: NatsServer, start_gateway: StartGateway, tmp_path: Path) -> None:
    """The file is a link into a link that is renamed; nothing else tells of the change."""
    gateway = start_gateway(nats_server.url, STEADY, watch=True)
    await gateway.ready()

    def publish(version: str, channels: list[dict[str, Any]]) -> None:
        values = {"nats": {"servers": [nats_server.url]}, "watch": True, "channels": channels}
        folder = gateway.file.parent / f"..{version}"
        folder.mkdir()
        (folder / gateway.file.name).write_text(json.dumps(values))
        link = gateway.file.parent / "..data_tmp"
        link.symlink_to(folder.name)
        link.rename(gateway.file.parent / "..data")

    publish("1", STEADY)
    other = gateway.file.with_suffix(".link")
    other.symlink_to(f"..data/{gateway.file.name}")
    other.rename(gateway.file)
    await gateway.printed("configuration read again: no channel has changed")
    publish("2", [*STEADY, {"name": "new", "direction": "inbound"}])
    await gateway.printed("configuration read again: added new")
    client = await connect(gateway.websocket("new"), proxy=None)
    await client.close()
    await gateway.stop()


@pytest.mark.parametrize("arguments", [("-i", "A", "-o", "B")])
async def test_channels_of_the_command_line_stay(
    nats_server: NatsServer, start_gateway: StartGateway, arguments: tuple[str, ...]
) -> None:
    gateway = start_gateway(nats_server.url, STEADY, arguments=arguments)
    await gateway.ready()
    await reload(gateway, OTHERS[0], log={"level": "info"})
    assert "configuration read again: no channel has changed" in gateway.messages
    await gateway.printed("channels: not used, the command line has others in their place")
    client = await connect(gateway.websocket("A"), proxy=None)
    await client.close()
    await gateway.stop()

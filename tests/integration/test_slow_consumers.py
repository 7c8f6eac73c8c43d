"""Clients that do not keep up: what is dropped for them is told, in its place, by every protocol that can say it.

Each sent message is accounted for: the client has it, or was told that it was dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.frames import Opcode

from helpers.event_stream import EventParser
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.polling import open_polling
from helpers.raw import OpenRaw, RawClient
from helpers.waiting import eventually

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound", "outbox": {"messages": 100}},
    {"name": "chat.*", "direction": "inbound", "outbox": {"messages": 100}},
    {"name": "board", "subject": "market.>", "direction": "inbound", "slow_consumer": "latest"},
]
SIZE_BYTES = 50_000
NAMES, ROUNDS = 1000, 40


@pytest.fixture
async def gateway(nats_server: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats_server.url, CHANNELS)
    await gateway.ready()
    return gateway


class Slow:
    """A client that takes nothing until ``next`` is asked for; what came is (name, payload) or what was dropped."""

    def __init__(self, events: AsyncIterator[tuple[str, str | int]]) -> None:
        self.events = events

    async def until(self, last: str) -> list[tuple[str, str | int]]:
        """All that comes, up to the payload that begins with ``last``."""
        heard: list[tuple[str, str | int]] = []
        async with asyncio.timeout(60):
            async for event in self.events:
                heard.append(event)
                if str(event[1]).startswith(last):
                    return heard
        raise AssertionError(f"it ended behind {len(heard)} events")


def said(name: str, envelope: dict[str, Any]) -> tuple[str, str | int]:
    if envelope.get("event") == "dropped":
        return envelope["channel"], envelope["dropped"]
    return envelope.get("channel", name), envelope["text"]


async def of_websocket(client: RawClient, name: str) -> AsyncIterator[tuple[str, str | int]]:
    while (frame := await client.receive()).opcode is not Opcode.CLOSE:
        yield said(name, json.loads(bytes(frame.data)))


async def of_socketio(client: RawClient, name: str) -> AsyncIterator[tuple[str, str | int]]:
    while (frame := await client.receive()).opcode is not Opcode.CLOSE:
        packet = bytes(frame.data)
        if packet.startswith(b"42"):
            event, argument = json.loads(packet[2:])
            yield (argument["channel"], argument["dropped"]) if event == "wsgw:dropped" else (event, argument)


async def of_sse(gateway: GatewayProcess, path: str, name: str) -> AsyncIterator[tuple[str, str | int]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65536)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    parser = EventParser()
    yield "", "opened"
    try:
        while data := await reader.read(65536):
            for event in parser.feed(data):
                if event.event == "wsgw:dropped":
                    told = json.loads(event.data)
                    yield told["channel"], told["dropped"]
                else:
                    yield name, event.data
    finally:
        writer.close()


async def came(gateway: GatewayProcess, channel: str, count: int) -> None:
    await eventually(lambda: gateway.metric("wsgw_nats_messages_total", channel=channel) == count, "all came")


async def opened(gateway: GatewayProcess, raw: OpenRaw, kind: str, name: str) -> Slow:
    if kind == "websocket":
        return Slow(of_websocket(await raw(gateway, f"/ws/{name}?envelope=1"), name))
    if kind == "socketio":
        client = await raw(gateway, f"/socket.io/?EIO=4&transport=websocket&channels={name}")
        await client.say_connect()
        return Slow(of_socketio(client, name))
    made = Slow(of_sse(gateway, f"/sse/{name}", name))
    assert await anext(made.events) == ("", "opened")
    return made


@pytest.mark.parametrize("kind", ["websocket", "socketio", "sse"])
@pytest.mark.parametrize("channel", ["IN", "chat.*"])
async def test_every_message_is_there_or_told(
    gateway: GatewayProcess, peer: Peer, raw: OpenRaw, kind: str, channel: str
) -> None:
    name = channel.replace("*", "lobby")
    client = await opened(gateway, raw, kind, name)
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel=channel) == 1, "subscribed")
    sent = 0
    for _ in range(2):  # it falls behind, and catches up
        numbers = range(sent, sent + 400)
        for number in numbers:
            await peer.publish(name, f"{number} ".ljust(SIZE_BYTES, "."))
        sent += 400
        await came(gateway, channel, sent)
        heard = await client.until(f"{numbers[-1]} ")
        at = numbers[0]
        for _, event in heard:
            if isinstance(event, int):
                at += event
            else:
                assert int(event.split()[0]) == at, "what was dropped is told before what comes next"
                at += 1
        assert at == sent
        assert {of for of, _ in heard} == {name}
        assert any(isinstance(event, int) for _, event in heard)
    dropped = gateway.metric("wsgw_dropped_messages_total", channel=channel, policy="drop_oldest")
    assert dropped == gateway.metric("wsgw_nats_messages_total", channel=channel) - gateway.metric(
        "wsgw_deliveries_total", channel=channel, transport=kind
    )


@pytest.mark.parametrize("kind", ["websocket", "socketio"])
async def test_a_price_board_ends_with_the_newest_of_every_name(
    gateway: GatewayProcess, peer: Peer, raw: OpenRaw, kind: str
) -> None:
    client = await opened(gateway, raw, kind, "board")
    await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="board") == 1, "subscribed")
    for turn in range(ROUNDS):
        for stock in range(NAMES):
            await peer.publish(f"market.{stock}", f"{stock} {turn} ".ljust(500, "."))
    await peer.publish("market.last", "last ")
    count = NAMES * ROUNDS + 1
    await came(gateway, "board", count)
    assert gateway.metric("wsgw_outbox_messages") <= NAMES + 1
    heard = await client.until("last ")
    prices: dict[str, int] = {}
    for _, event in heard[:-1]:
        if not isinstance(event, int):
            name, at = event.split()[:2]
            assert prices.get(name, -1) < int(at), "in order"
            prices[name] = int(at)
    assert prices == {str(stock): ROUNDS - 1 for stock in range(NAMES)}
    told = [event for _, event in heard if isinstance(event, int)]
    assert len(heard) - len(told) + sum(told) == count
    assert sum(told) == gateway.metric("wsgw_dropped_messages_total", channel="board", policy="latest") > 0


async def test_a_poll_that_comes_late(gateway: GatewayProcess, peer: Peer) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        url = await open_polling(http, gateway, "IN")
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="IN") == 1, "subscribed")
        await peer.publish("IN", *map(str, range(150)))
        counted = "wsgw_dropped_messages_total"
        await eventually(lambda: gateway.metric(counted, channel="IN", policy="drop_oldest") == 50, "some are dropped")
        packets = [packet for packet in (await http.get(url)).text.split("\x1e") if packet.startswith("42")]
        assert packets[:2] == ['42["wsgw:dropped",{"channel":"IN","dropped":50}]', '42["IN","50"]']

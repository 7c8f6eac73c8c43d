"""What a Socket.IO client of a durable channel is told, and the ids of its messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.running import Running, running
from helpers.storing import make_stream, stored
from helpers.waiting import eventually

from .client import Client

CHANNELS = [
    {"name": "s", "direction": "outbound", "durable": {"stream": "S", "managed": False}},
    {"name": "OUT", "direction": "outbound"},
    {"name": "SUM", "direction": "request"},
]


@pytest.fixture
async def served(jetstream: NatsServer) -> AsyncIterator[Running]:
    await make_stream(jetstream.url, max_msgs=3, discard="new")
    async with running(jetstream.url, channels=CHANNELS) as made:
        yield made


@pytest.fixture
async def client(served: Running) -> AsyncIterator[Client]:
    made = Client(served, {})
    await made.opened()
    yield made
    await made.stop()


async def answers(client: Client, *packets: str | bytes) -> dict[int, list[object]]:
    """Send events; the arguments of their acks, by their ids."""
    for packet in packets:
        client.send(packet)
    asked = sum(isinstance(packet, str) for packet in packets)
    told = [str(packet) for packet in await client.received(asked)]
    return {int(packet[2 : packet.index("[")]): json.loads(packet[packet.index("[") :]) for packet in told}


async def test_the_ack_says_where_it_is(client: Client, jetstream: NatsServer) -> None:
    got = await answers(client, '21["s","a"]', '22["s",{"b": 1.0}]')
    assert got == {1: [True, {"seq": 1}], 2: [True, {"seq": 2}]}
    assert await stored(jetstream.url) == [b"a", b'{"b": 1.0}']


async def test_each_is_told_its_own(client: Client) -> None:
    """Though they are published together."""
    got = await answers(client, *(f'2{id}["s","x"]' for id in range(5)))
    assert [got[id] for id in range(3)] == [[True, {"seq": sequence}] for sequence in (1, 2, 3)]
    for id in (3, 4):
        (error,) = got[id]
        assert isinstance(error, dict)
        assert error["error"]["code"] == "stream_full"


async def test_an_id(client: Client, jetstream: NatsServer) -> None:
    placeholder = '{"_placeholder":true,"num":0}'
    got = await answers(
        client,
        '21["s","a",{"id":"one"}]',
        '22["s","a",{"id":"\\u006fne"}]',
        '23["s","b"]',
        f'51-4["s",{placeholder},{{"id":"two"}}]',
        b"\xff",
        f'51-5["s",{placeholder},{{"id":"two"}}]',
        b"\xff",
    )
    assert got == {
        1: [True, {"seq": 1}],
        2: [True, {"seq": 1, "duplicate": True}],
        3: [True, {"seq": 2}],
        4: [True, {"seq": 3}],
        5: [True, {"seq": 3, "duplicate": True}],
    }
    assert await stored(jetstream.url) == [b"a", b"b", b"\xff"]


@pytest.mark.parametrize(
    "rest",
    [
        '"one"',
        "null",
        "{}",
        '{"id":1}',
        '{"id":null}',
        '{"ID":"one"}',
        '{"id":"one","more":1}',
        '{"id":"\\ud800"}',
        '["id","one"]',
        '{"id":"one"},{"id":"one"}',
        '{"id":"' + "x" * 1000 + '"}',
    ],
)
async def test_what_is_no_id_is_an_argument_too_many(client: Client, rest: str) -> None:
    error = (await client.ack(f'27["s","a",{rest}]'))["error"]
    assert error["code"] == "bad_request"
    assert error["message"].startswith("one payload argument is expected, the event has ")


@pytest.mark.parametrize("id", ["", "a b", "é", "x" * 129])
async def test_an_id_that_cannot_be_one(client: Client, id: str) -> None:
    error = (await client.ack(f'27["s","a",{{"id":"{id}"}}]'))["error"]
    assert error["code"] == "bad_request"
    assert error["message"].startswith("a message's id has 1 to 128 visible ASCII characters")


@pytest.mark.parametrize("name", ["OUT", "SUM", "NOPE", "wsgw:subscribe"])
async def test_only_durable_channels_take_one(client: Client, name: str) -> None:
    assert await client.error(f'27["{name}","a",{{"id":"one"}}]') == "bad_request"


async def test_a_plain_channel_between(client: Client) -> None:
    got = await answers(client, '21["s","a",{"id":"one"}]', '22["OUT","b"]', '23["s","a",{"id":"one"}]')
    assert got == {1: [True, {"seq": 1}], 2: [True], 3: [True, {"seq": 1, "duplicate": True}]}


async def test_no_ack_asked(client: Client, served: Running, jetstream: NatsServer) -> None:
    client.send('2["s","a"]')
    assert await answers(client, '21["s","b"]') == {1: [True, {"seq": 2}]}
    await eventually(
        lambda: served.value("wsgw_published_messages_total", channel="s", transport="socketio") == 2, "counted"
    )

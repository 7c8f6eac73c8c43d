"""Several durable channels on one stream: one position of all, by which an EventSource comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.bridges.durable import DurableBridge

CHANNELS = [
    {"name": "a", "direction": "inbound", "durable": True},
    {"name": "b", "direction": "inbound", "durable": True},
    {"name": "room.*", "direction": "both", "durable": {"stream": "ROOMS"}},
    {"name": "plain", "direction": "both"},
]
PATH = "/sse?channel=a&channel=b&channel=room.1&channel=room.2&channel=plain"


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def served(jetstream: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(jetstream.url, channels=CHANNELS, direct=request.param) as made:
        yield made


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


async def test_it_resumes_in_all(served: Running, peer: Peer) -> None:
    client = await served.stream(PATH)
    begun = await client.until_position()
    assert begun.count("-") == 4
    await eventually(lambda: served.value("wsgw_subscriptions", channel="plain") == 1, "live")
    subjects = ("a", "room.1", "b", "room.2", "plain", "room.1", "a")
    for number, subject in enumerate(subjects):
        await peer.publish(subject, str(number))
    seen = [await client.next() for _ in subjects]
    kept = [json.loads(event.data) for event in seen if "plain" not in event.data]
    for number, event in enumerate(seen):
        again = await served.stream(PATH, f"Last-Event-ID: {event.id}")
        got = [json.loads(one.data)["text"] for one in seen[: number + 1]]
        rest = {one["text"] for one in kept}.difference(got)
        came = [json.loads((await again.next()).data)["text"] for _ in rest]
        assert set(came) == rest
        assert again.parser.id == seen[-1].id or not rest
        again.close()
    assert served.value("wsgw_resumes_total", channel="a", result="gap") == 0


async def test_what_is_missing_is_told_once(served: Running, peer: Peer) -> None:
    elsewhere = "1." + ".".join(f"{number:010x}-5" for number in range(4))
    client = await served.stream(f"{PATH}&last_event_id={elsewhere}")
    told = await client.next()
    assert told.event == "wsgw:gap"
    assert sorted(json.loads(told.data)["channels"]) == ["a", "b", "room.1", "room.2"]
    assert (await client.until_position()).count("-") == 4
    await peer.publish("a", "behind it")
    assert json.loads((await client.next()).data)["text"] == "behind it"


async def test_a_gap_later_is_told_with_its_position(served: Running, jetstream: NatsServer, peer: Peer) -> None:
    client = await served.stream("/sse?channel=a&channel=b")
    before = await client.until_position()
    await peer.nats.request("$JS.API.STREAM.DELETE.b", b"", timeout=10)
    told = await client.next()
    assert (told.event, json.loads(told.data)) == ("wsgw:gap", {"channels": ["b"], "missed": None})
    assert client.parser.id != before


async def test_plain_channels_have_none(served: Running, peer: Peer) -> None:
    client = await served.stream("/sse?channel=plain")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="plain") == 1, "live")
    await peer.publish("plain", "x")
    assert (await client.next()).id == ""


async def test_a_stream_that_cannot_be_asked_keeps_nobody_from_others(
    served: Running, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgw.core.places.PLACING_SECONDS", 0.05)
    bridge = served.gateway.bridges._bridges["b"]
    assert isinstance(bridge, DurableBridge)
    history, bridge.history = bridge.history, None  # as before the stream was looked at
    client = await served.stream(PATH)
    await eventually(lambda: served.value("wsgw_subscriptions", channel="plain") == 1, "live")
    for subject in ("plain", "a"):
        await peer.publish(subject, "x")
        event = await client.next()
        assert json.loads(event.data)["channel"] == subject
        assert event.id.count("-") == 3
    bridge.history = history
    for following in bridge._waiting:
        following.begin()
    await peer.publish("b", "x")
    event = await client.next()
    assert json.loads(event.data)["channel"] == "b"
    assert event.id.count("-") == 4

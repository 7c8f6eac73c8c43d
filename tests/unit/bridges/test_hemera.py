"""The bridge of a channel of hemera's: what an action would get, what is for others, and what is none of hemera's."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.stack import Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges.base import BridgeState
from wsgw.bridges.hemera import HemeraBridge
from wsgw.channels.channel import Channel, Direction
from wsgw.channels.hemera import Action, Codec
from wsgw.fanout.publication import Publication

SAY = Action("bridge.hemera", (("cmd", "say"),))


@pytest.fixture
async def stack(nats: NatsServer) -> AsyncIterator[Stack]:
    made = Stack()
    await made.connect(nats.url)
    yield made
    await made.stop()


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    peer = await Peer.connect(nats.url)
    yield peer
    await peer.close()


async def bridge(stack: Stack) -> HemeraBridge:
    made = HemeraBridge(Channel("NEWS", Direction.INBOUND, SAY.topic, hemera=SAY), stack.broker, stack.hub)
    stack.start(made)
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    return made


async def test_what_it_delivers(stack: Stack, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    made = await bridge(stack)
    got = stack.listen(made.channel, "NEWS")
    codec, other = Codec(SAY), Codec(Action(SAY.topic, (("cmd", "hush"),)))
    with caplog.at_level(logging.WARNING):
        await peer.publish(SAY.topic, codec.wrap(b'{"n":1}', "pubsub"), other.wrap(b'{"n":2}', "pubsub"))
        await peer.publish(SAY.topic, b"plain", b"\xff", codec.wrap(b'{"n":3}', "request"))
        await arrived(got, 4)
    assert json.loads(got[0]) == {"topic": SAY.topic, "cmd": "say", "n": 1}
    assert got[1:3] == [b"plain", b"\xff"]
    assert json.loads(got[3]) == {"topic": SAY.topic, "cmd": "say", "n": 3}
    assert len(got) == 4
    assert value(stack.metrics, "wsgw_nats_messages_total", channel="NEWS") == 5
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["channel NEWS: what is no message of hemera's is delivered as it is"], "once in a time"


async def test_headers_stay(stack: Stack, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await bridge(stack)
    got: list[Publication] = []
    monkeypatch.setattr(stack.hub, "publish", lambda _, publication: got.append(publication))
    await peer.nats.publish(SAY.topic, Codec(SAY).wrap(b"{}", "request"), reply="there", headers={"A": "b"})
    await arrived(got, 1)
    assert (got[0].reply, dict(got[0].headers)) == ("there", {"A": ("b",)})
    assert got[0].text == '{"topic":"bridge.hemera","cmd":"say"}'
    assert made.channel.name == "NEWS"

"""A durable bridge that has no NATS for a while, beside one that has: what it missed, and who comes to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from helpers.durables import Durables, durable
from helpers.nats_server import NatsServer
from helpers.proxy import Proxy
from helpers.stack import Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import base
from wsgw.bridges.place import Coming
from wsgw.channels.durable import Durable
from wsgw.channels.start import Start


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BACKOFF_SECONDS", (0.01, 0.1))


@pytest.fixture
async def near(jetstream: NatsServer) -> AsyncIterator[Durables]:
    """It has NATS, and has made the stream."""
    made = Durables(jetstream, Stack(), durable())
    async with asyncio.timeout(90):
        await made.open()
        yield made
        await made.close()


@pytest.fixture
async def proxy(jetstream: NatsServer) -> AsyncIterator[Proxy]:
    made = await Proxy.start(jetstream.port)
    yield made
    await made.close()


@pytest.fixture(params=[True, False], ids=["managed", "not managed"])
async def far(
    request: pytest.FixtureRequest, jetstream: NatsServer, near: Durables, proxy: Proxy
) -> AsyncIterator[Durables]:
    """It has NATS by the proxy."""
    made = Durables(jetstream, Stack(), durable(stream=Durable("S", managed=request.param)))
    await made.open(proxy.url)
    yield made
    await made.close()


async def test_who_was_further_elsewhere_waits_as_long_as_it_takes(
    near: Durables, far: Durables, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client had is in the stream: nothing is lost, and nothing may come twice."""
    monkeypatch.setattr("wsgw.bridges.following.AHEAD_SECONDS", 0.1)
    proxy.hold()
    await near.publish("a", "b")
    assert far.bridge.history is not None
    ahead = far.follow(Start(after={far.bridge.history.identity: 2}))
    until = time.monotonic() + 0.5
    await eventually(lambda: time.monotonic() > until, "it has waited several times as long as before it asks")
    assert not ahead.places
    proxy.restore()
    await near.publish("c")
    await arrived(ahead.link.data, 1)
    assert (ahead.sequences, ahead.coming) == ([3], [Coming.RECOVERED])


async def test_what_was_purged_before_it_came_is_told(near: Durables, far: Durables, proxy: Proxy) -> None:
    live = far.follow()
    await near.publish("a")
    await arrived(live.link.data, 1)
    proxy.cut()
    await near.publish("b", "c")
    await near.ask("STREAM.PURGE.S")
    await near.publish("d")
    proxy.restore()
    await arrived(live.link.data, 2)
    assert live.sequences == [1, 4]
    assert live.coming == [Coming.NEW, Coming.GAP]
    assert live.places[1].missed == 2


@pytest.mark.parametrize("far", [False], indirect=True, ids=["not managed"])
async def test_a_stream_that_takes_other_subjects_by_now(near: Durables, far: Durables) -> None:
    """The first hole is in doubt, and has the stream looked at; then holes are others' messages."""
    live = far.follow()
    assert far.bridge.whole
    config = (await near.ask("STREAM.INFO.S"))["config"]
    assert isinstance(config, dict)
    await near.ask("STREAM.UPDATE.S", **{**config, "subjects": ["orders", "other"]})
    await near.publish("x", subject="other", to_end=False)
    await near.publish("a")
    await arrived(live.link.data, 1)
    assert live.coming == [Coming.NEW, Coming.GAP]
    await eventually(lambda: not far.bridge.whole, "it has been looked at")
    await near.publish("x", subject="other", to_end=False)
    await near.publish("b")
    await arrived(live.link.data, 2)
    assert live.sequences == [2, 4]
    assert len(live.places) == 2

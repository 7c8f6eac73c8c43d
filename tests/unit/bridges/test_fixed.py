"""The bridge of one channel, over a real server whose permissions and life the tests change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.stack import GAP, Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import base as module
from wsgw.bridges.base import BridgeState
from wsgw.bridges.fixed import FixedBridge
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import FORBIDDEN, GatewayError
from wsgw.fanout.publication import Publication

DENIED = 'authorization {users = [{user: u, password: p, permissions: {subscribe: {deny: ["secret.>"]}}}]}'
GRANTED = 'authorization {users = [{user: u, password: p, permissions: {subscribe: {deny: ["other.>"]}}}]}'


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    made = Stack()
    async with asyncio.timeout(60):
        yield made
        await made.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.1))


def bridge(stack: Stack, channel: Channel) -> FixedBridge:
    made = FixedBridge(channel, stack.broker, stack.hub)
    stack.start(made)
    return made


async def test_messages_reach_the_hub(stack: Stack, nats: NatsServer) -> None:
    await stack.connect(nats.url)
    made = bridge(stack, Channel("IN", Direction.INBOUND, "bridge.*.x"))
    early = stack.listen(made.channel, "IN")
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    await eventually(lambda: early == [GAP], "who was there before is told")
    got = stack.listen(made.channel, "IN")
    assert made.reason == ""
    peer = await Peer.connect(nats.url)
    await peer.publish("bridge.1.x", b"1")
    await peer.publish("bridge.2.x", b"\xff", b"")
    await arrived(got, 3)
    assert got == [b"1", b"\xff", b""]
    assert value(stack.metrics, "wsgw_nats_messages_total", channel="IN") == 3
    assert value(stack.metrics, "wsgw_gaps_total", channel="IN") == 0
    await peer.close()


async def test_before_nats_is_there(stack: Stack, start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    server.stop()
    await stack.connect(server.url, wait=False)
    made = bridge(stack, Channel("IN", Direction.INBOUND))
    await asyncio.sleep(0)
    assert (made.state, made.reason) == (BridgeState.STARTING, "waiting for NATS")
    server.start()
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    assert value(stack.metrics, "wsgw_gaps_total", channel="IN") == 0


async def test_after_a_loss(stack: Stack, start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    await stack.connect(server.url)
    made = bridge(stack, Channel("IN", Direction.INBOUND))
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    got = stack.listen(made.channel, "IN")
    server.stop()
    await eventually(lambda: made.state is BridgeState.STARTING, "the loss is noticed")
    server.start()
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed again")
    peer = await Peer.connect(server.url)
    await peer.publish("IN", b"x")
    await arrived(got, 2)
    assert got == [GAP, b"x"]
    assert value(stack.metrics, "wsgw_gaps_total", channel="IN") == 1
    await peer.close()


async def test_a_refused_subject(
    stack: Stack, start_server: Callable[..., NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(DENIED)
    await stack.connect(server.url.replace("//", "//u:p@"))
    made = bridge(stack, Channel("IN", Direction.INBOUND, "secret.x"))
    good = bridge(stack, Channel("GOOD", Direction.INBOUND, "good"))
    await eventually(lambda: made.state is BridgeState.FAILED, "failed")
    assert "secret.x" in made.reason
    await eventually(lambda: good.state is BridgeState.SUBSCRIBED, "the other one is subscribed")
    await asyncio.sleep(0.2)  # several tries
    assert made.state is BridgeState.FAILED
    lines = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert len(lines) == 1, "one line a reason, not one a try"
    assert "secret.x" in lines[0]
    server.reload(GRANTED)
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "granted: subscribed")


async def test_a_permission_taken_back(stack: Stack, start_server: Callable[..., NatsServer]) -> None:
    """Its clients are told when it is granted again; those of others, which lost nothing, are not."""
    server = start_server(GRANTED)
    await stack.connect(server.url.replace("//", "//u:p@"))
    made = bridge(stack, Channel("IN", Direction.INBOUND, "secret.x"))
    good = bridge(stack, Channel("GOOD", Direction.INBOUND, "good"))
    await eventually(lambda: made.state is good.state is BridgeState.SUBSCRIBED, "subscribed")
    got, others = stack.listen(made.channel, "IN"), stack.listen(good.channel, "GOOD")
    server.reload(DENIED)
    await eventually(lambda: made.state is BridgeState.FAILED, "failed")
    assert not got
    server.reload(GRANTED)
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "granted")
    await eventually(lambda: got == [GAP], "told")
    assert not others
    assert stack.broker.connects == 1


async def test_clients_are_told_before_what_comes_first(
    stack: Stack, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come before the proof that NATS has taken the subscription."""
    await stack.connect(nats.url)
    subscribe = stack.broker.subscribe

    async def early(subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
        made = await subscribe(subject, deliver)
        deliver(Publication(subject, b"early", 0.0))
        return made

    monkeypatch.setattr(stack.broker, "subscribe", early)
    made = FixedBridge(Channel("IN", Direction.INBOUND), stack.broker, stack.hub)
    got = stack.listen(made.channel, "IN")
    stack.start(made)
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    await arrived(got, 2)
    assert got == [GAP, b"early"]


async def test_what_is_taken_and_refused_again_is_tried_ever_more_rarely(
    stack: Stack, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.connect(nats.url)
    subscribe, tries = stack.broker.subscribe, 0

    async def revoked(subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
        nonlocal tries
        tries += 1
        made = await subscribe(subject, deliver)
        made.end(GatewayError(FORBIDDEN, "revoked"))
        return made

    monkeypatch.setattr(stack.broker, "subscribe", revoked)
    made = bridge(stack, Channel("IN", Direction.INBOUND, "revoked.x"))
    backoff = made._keeper.backoff
    await eventually(lambda: tries >= 5, "tries")
    assert backoff._seconds == 0.1, "it has come to the longest"


async def test_a_fault_does_not_end_it(
    stack: Stack, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stack.connect(nats.url)
    subscribe, tries = stack.broker.subscribe, 0

    async def faulty(subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise AssertionError("something new")
        return await subscribe(subject, deliver)

    monkeypatch.setattr(stack.broker, "subscribe", faulty)
    made = bridge(stack, Channel("IN", Direction.INBOUND, "fault.x"))
    await eventually(lambda: made.state is BridgeState.FAILED, "failed")
    assert "something new" in made.reason
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "it goes on")
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.exc_info, "one line, with the traceback"


async def test_nothing_to_wait_for(stack: Stack, nats: NatsServer) -> None:
    await stack.connect(nats.url)
    made = FixedBridge(Channel("IN", Direction.INBOUND), stack.broker, stack.hub)
    assert made.join("IN", lambda error: None) is None
    made.leave("IN", lambda error: None)
    await made.stop()


async def test_an_end_while_the_connection_goes_on(stack: Stack, nats: NatsServer) -> None:
    await stack.connect(nats.url)
    made = bridge(stack, Channel("IN", Direction.INBOUND, "retired.in"))
    got = stack.listen(made.channel, "IN")
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    peer = await Peer.connect(nats.url)
    await peer.publish("retired.in", b"1")
    await eventually(lambda: b"1" in got, "it came")
    refreshing = len(stack.metrics.on_read)
    await made.retire()
    assert len(stack.metrics.on_read) == refreshing - 1
    assert value(stack.metrics, "wsgw_nats_messages_total", channel="IN") == 1
    await peer.publish("retired.in", b"2")
    await peer.fence()
    await stack.broker.barrier()
    assert b"2" not in got
    assert stack.broker._connection is not None
    assert "retired.in" not in {one.subject for one in stack.broker._connection._subscriptions}
    await peer.close()


async def test_other_options(stack: Stack, nats: NatsServer) -> None:
    await stack.connect(nats.url)
    made = bridge(stack, Channel("IN", Direction.INBOUND))
    other = Channel("IN", Direction.INBOUND, outbox_messages=5)
    made.change(other)
    await made.forget_idle()
    assert made.channel is made._keeper.channel is other


async def test_a_channel_that_comes_later_is_a_gap_of_nobody_else(stack: Stack, nats: NatsServer) -> None:
    """Its number is there before its clients are, and it is not that of a loss of the connection."""
    await stack.connect(nats.url)
    made = FixedBridge(Channel("IN", Direction.INBOUND), stack.broker, stack.hub)
    before = stack.hub.gaps
    stack.start(made)
    await eventually(lambda: made.state is BridgeState.SUBSCRIBED, "subscribed")
    assert stack.hub.gaps == before == 1

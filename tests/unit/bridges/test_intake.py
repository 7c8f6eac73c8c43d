"""A consumer that was made and does not work is told apart from one that was lost; real NATS, JetStream played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from helpers.durables import durable
from helpers.nats_server import NatsServer
from helpers.stack import Stack
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.bridges import intake as module
from wsgw.bridges.base import BridgeState, Keeper
from wsgw.bridges.intake import Intake
from wsgw.broker.delivery import FullPublication
from wsgw.broker.jetstream import JetStream, StreamInfo
from wsgw.broker.reads import StreamReads
from wsgw.channels.durable import Durable
from wsgw.errors import FORBIDDEN, STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

INFO = StreamInfo("S", "2026-01-01T00:00:00Z", 1, 0, 0, {})
STALLED = "Nats-Consumer-Stalled: $JS.FC.S.c.x"


class Streams(JetStream):
    """Makes consumers that deliver nothing by themselves; ``failing`` is what proving a right ends with."""

    deliver_to = ""
    failing: GatewayError | None = None
    proofs = 0

    async def create_consumer(self, stream: str, subject: str, deliver_to: str, first: int) -> str:
        self.deliver_to = deliver_to
        return "c"

    async def delete_consumer(self, stream: str, name: str) -> None:
        self.deliver_to = ""

    async def prove_flow_control(self, stream: str, consumer: str) -> None:
        self.proofs += 1
        if self.failing is not None:
            raise self.failing


class Reads(StreamReads):
    async def prove(self, info: StreamInfo, subject: str) -> None:
        """As it should be."""


class Taking:
    """An intake of an account whose JetStream is imported, and what becomes of it."""

    def __init__(self, stack: Stack) -> None:
        async def serve() -> Exception:
            raise NotImplementedError

        channel = durable(stream=Durable("S", api_prefix="JS.hub.API"))
        self.broker = stack.broker
        self.keeper = Keeper(channel, stack.metrics, serve)
        self.streams = Streams(stack.broker, "JS.hub.API")
        self.came: list[int] = []
        reads = Reads(stack.broker, self.streams)
        self.intake = Intake(channel, stack.broker, self.streams, reads, self.keeper, self._deliver)
        self.intake.begin()
        self.lost = stack.broker.lost()

    def _deliver(self, publication: Publication, sequence: int, stored_at_ns: int, pending: int) -> None:
        self.came.append(sequence)

    def take(self) -> asyncio.Task[str]:
        assert self.lost is not None
        return asyncio.get_running_loop().create_task(self.intake.take(INFO, 1, self.lost))

    async def begun(self) -> asyncio.Task[str]:
        """A consumer that can be played."""
        task = self.take()
        await eventually(lambda: self.streams.deliver_to or task.done(), "a consumer")
        return task

    def message(self, number: int) -> None:
        """One of the stream, as the consumer sends it: to the inbox, under its own subject."""
        reply = b"$JS.ACK.S.c.1.%d.%d.1700000000000000000.0" % (number, number)
        assert self.broker._connection is not None
        (inbox,) = self.broker._connection._subscriptions.of(self.streams.deliver_to)
        inbox.deliver(FullPublication("orders", b"", 0.0, reply, b""))

    def beat(self, *lines: str) -> None:
        block = "".join(f"{line}\r\n" for line in ("NATS/1.0 100 Idle Heartbeat", *lines, "")).encode()
        self.broker.publish_each(self.streams.deliver_to, [("", block, b"")], lambda _: None)

    async def beating(self, task: asyncio.Task[str], *lines: str) -> GatewayError:
        """How it ends while heartbeats come."""
        while not task.done():
            self.beat(*lines)
            await asyncio.sleep(0.02)
        error = task.exception()
        assert isinstance(error, GatewayError)
        return error


@pytest.fixture
async def taking(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Taking]:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.1)
    stack = Stack()
    await stack.connect(nats.url)
    async with asyncio.timeout(DEADLINE_SECONDS):
        yield Taking(stack)
    await stack.stop()


async def test_it_takes_what_comes_until_it_is_interrupted(taking: Taking) -> None:
    task = await taking.begun()
    await eventually(lambda: taking.keeper.state is BridgeState.SUBSCRIBED, "all is well at once")
    taking.message(1)
    taking.message(2)
    await eventually(lambda: taking.came == [1, 2], "they are delivered")
    taking.intake.interrupt("enough")
    taking.intake.interrupt("more than that")
    assert await task == "enough"
    assert not taking.streams.deliver_to, "it is deleted"
    taking.intake.interrupt("harmless")


async def test_one_that_is_lost(taking: Taking) -> None:
    task = await taking.begun()
    taking.message(1)
    assert await task == "it was not heard any more"


async def test_nothing_comes_to_another_account(taking: Taking) -> None:
    with pytest.raises(GatewayError, match=r"does its account export _INBOX\.>, and this one import it\?") as silent:
        await taking.take()
    assert silent.value.kind is STREAM_UNAVAILABLE
    taking.keeper.failed(silent.value)
    task = await taking.begun()
    await taking.broker.barrier()
    assert taking.keeper.reason, "until it is heard"
    while taking.keeper.reason:
        assert not task.done()
        taking.beat()
        await asyncio.sleep(0.02)
    taking.intake.interrupt("enough")
    await task


async def test_it_is_not_heard(taking: Taking) -> None:
    error = await taking.beating(await taking.begun(), STALLED)
    assert error.message == "a consumer of stream S: it hears no answers of the gateway, which go to $JS.FC.S.c.x"
    taking.keeper.failed(error)
    task = await taking.begun()
    taking.message(1)  # as a new one sends before it waits
    assert (await taking.beating(task, STALLED)).message == error.message
    assert taking.keeper.state is BridgeState.FAILED, "all the time"


async def test_one_that_goes_on_is_heard(taking: Taking) -> None:
    task = await taking.begun()
    for number in range(1, 31):
        taking.beat(STALLED)
        taking.message(number)
        await asyncio.sleep(0.02)
    assert not task.done()
    taking.intake.interrupt("enough")
    await task


async def test_an_answer_that_is_refused_ends_it(taking: Taking) -> None:
    task = await taking.begun()
    refused = GatewayError(FORBIDDEN, "NATS refuses '$JS.FC.S.c.x'")
    taking.intake._answered(GatewayError(STREAM_UNAVAILABLE, "of no meaning"))
    taking.intake._answered(None)
    taking.intake._answered(refused)
    with pytest.raises(GatewayError) as ended:
        await task
    assert ended.value is refused


async def test_rights_are_proven_once_a_connection(taking: Taking) -> None:
    taking.streams.failing = GatewayError(STREAM_UNAVAILABLE, "an election")
    with pytest.raises(GatewayError, match="an election"):
        await taking.take()
    taking.streams.failing = None
    for _ in range(2):
        task = await taking.begun()
        taking.message(1)
        await task
    assert taking.streams.proofs == 2
    taking.intake.begin()
    taking.streams.failing = GatewayError(STREAM_UNAVAILABLE, "an election")
    task = await taking.begun()
    taking.message(1)
    assert await task == "it was not heard any more", "it was proven, earlier"
    taking.streams.failing = GatewayError(FORBIDDEN, "no right")
    with pytest.raises(GatewayError, match="no right"):
        await taking.take()

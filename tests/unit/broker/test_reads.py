"""Reads of a stream on a real JetStream: in batches, one after the other, and where batches do not come whole."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from helpers.brokers import Brokers, started
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from wsgw.broker import reads as module
from wsgw.broker.broker import Broker
from wsgw.broker.jetstream import JetStream, StreamInfo
from wsgw.broker.reads import StoredMessage, StreamReads, nanoseconds
from wsgw.channels.durable import Durable
from wsgw.errors import FORBIDDEN, STREAM_UNAVAILABLE, GatewayError

ORDERS = Durable("ORDERS")
#: JetStream is HUB's; EDGE has it below JS.hub.API, and PART of it below PART.
IMPORTED = """
jetstream {{store_dir: {}}}
accounts {{
  HUB: {{jetstream: enabled, users: [{{user: hub, password: x}}], exports: [{{service: "$JS.API.>"}}]}}
  EDGE: {{users: [{{user: edge, password: x}}], imports: [
    {{service: {{account: HUB, subject: "$JS.API.>"}}, to: "JS.hub.API.>"}}
    {{service: {{account: HUB, subject: "$JS.API.STREAM.MSG.GET.ORDERS"}}, to: "PART.STREAM.MSG.GET.ORDERS"}}]}}
}}
"""
USERS = """
jetstream {{store_dir: {}}}
authorization {{users: [
  {{user: all, password: x}}
  {{user: some, password: x, permissions: {{publish: {{deny: ["$JS.API.{}.ORDERS"]}}}}}}]}}
"""

StartServer = Callable[[str], NatsServer]


@pytest.fixture
async def broker(make_broker: Brokers, jetstream: NatsServer) -> Broker:
    return (await started(make_broker, jetstream.url))[0]


@pytest.fixture
async def streams(broker: Broker) -> JetStream:
    return JetStream(broker, "$JS.API")


@pytest.fixture
async def reads(broker: Broker, streams: JetStream) -> StreamReads:
    return StreamReads(broker, streams)


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


@pytest.mark.parametrize("direct", [True, False])
async def test_reads(
    streams: JetStream, reads: StreamReads, peer: Peer, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_MESSAGES", 3)
    monkeypatch.setattr(StreamInfo, "allows_direct", direct)
    info = await streams.create_stream(Durable("ROOMS"), "room.*")
    for number in range(4):
        await peer.store("room.1", f"one {number}")
        await peer.store("room.2", f"two {number}")
    await peer.nats.request("room.1", b"\xff", headers={"a": "b"}, timeout=10)
    found: list[StoredMessage] = []
    while read := await reads.read(info, "room.1", found[-1].sequence + 1 if found else 0):
        assert len(read) <= 3
        found += read
    assert [one.publication.payload for one in found] == [b"one 0", b"one 1", b"one 2", b"one 3", b"\xff"]
    assert [one.sequence for one in found] == [1, 3, 5, 7, 9]
    assert {one.publication.subject for one in found} == {"room.1"}
    assert found[-1].publication.headers["a"] == ("b",)
    times = [one.stored_at_ns for one in found]
    assert times == sorted(times)
    every = await reads.read(info, "room.*", 2)
    assert every[0].sequence == 2
    assert not direct or [one.sequence for one in every] == [2, 3, 4]
    assert await reads.read(info, "room.3", 1) == []
    assert await reads.read(info, "room.1", 10) == []


async def test_one_after_the_other_is_bounded(
    streams: JetStream, reads: StreamReads, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamInfo, "allows_direct", False)
    monkeypatch.setattr(module, "SINGLY_SECONDS", 60.0)
    info = await streams.create_stream(ORDERS, "orders")
    await peer.store("orders", *"abcd")
    assert len(await reads.read(info, "orders", 1)) == 4
    monkeypatch.setattr(module, "READ_BYTES", 2)
    assert len(await reads.read(info, "orders", 1)) == 2
    monkeypatch.setattr(module, "READ_MESSAGES", 1)
    assert len(await reads.read(info, "orders", 1)) == 1


async def test_a_read_that_breaks_off_keeps_what_came(
    streams: JetStream, peer: Peer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Direct Get of a server that goes in the middle, or knows no batches."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    info = await streams.create_stream(ORDERS, "orders")
    pending = {"Nats-Num-Pending": "5"}

    async def half(message: object) -> None:
        for sequence in (b"7", b"8"):
            headers = {"Nats-Sequence": sequence.decode(), "Nats-Subject": "orders"}
            headers["Nats-Time-Stamp"] = "2026-01-01T00:00:00.5Z"
            await peer.nats.publish(message.reply, sequence, headers=headers | pending)  # type: ignore[attr-defined]

    await peer.nats.subscribe("FAKE.DIRECT.GET.ORDERS", cb=half)
    await peer.fence()
    reads = StreamReads(broker, JetStream(broker, "FAKE"))
    read = await reads.read(info, "orders", 1)
    assert [(one.sequence, one.publication.payload) for one in read] == [(7, b"7"), (8, b"8")]
    pending.clear()
    assert [one.sequence for one in await reads.read(info, "orders", 1)] == [7]


async def test_a_batch_of_which_one_message_comes_through(
    tmp_path: Path, make_broker: Brokers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub's export is for one answer to a question: what follows is read one after the other."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    server = NatsServer(tmp_path, IMPORTED.format(tmp_path))
    peer = await Peer.connect(server.url.replace("://", "://hub:x@"))
    broker, _ = await started(make_broker, server.url.replace("://", "://edge:x@"))
    streams = JetStream(broker, "JS.hub.API")
    reads = StreamReads(broker, streams)
    await streams.create_stream(ORDERS, "orders")
    await peer.store("orders", *"abc")
    info = await streams.stream("ORDERS")
    assert info is not None
    await reads.prove(info, "orders")
    with caplog.at_level(logging.WARNING):
        assert [one.sequence for one in await reads.read(info, "orders", 1)] == [1]
        assert [one.sequence for one in await reads.read(info, "orders", 2)] == [2, 3]
        assert [one.sequence for one in await reads.read(info, "orders", 1)] == [1, 2, 3]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "the export of JS.hub.API.DIRECT.GET.ORDERS needs 'response: stream'" in said
    part = StreamReads(broker, JetStream(broker, "PART"))
    with pytest.raises(GatewayError, match=r"nobody is at PART\.DIRECT\.GET\.ORDERS: .* does not import it") as none:
        await part.prove(info, "orders")
    assert none.value.kind is STREAM_UNAVAILABLE
    assert [one.sequence for one in await part.read(info, "orders", 1)] == [1, 2, 3], "of who is there"
    await peer.close()
    server.stop()


@pytest.mark.parametrize("verb", ["DIRECT.GET", "STREAM.MSG.GET"])
async def test_a_right_that_is_missing_is_named(tmp_path: Path, make_broker: Brokers, verb: str) -> None:
    server = NatsServer(tmp_path, USERS.format(tmp_path, verb))
    every, _ = await started(make_broker, server.url.replace("://", "://all:x@"))
    info = await JetStream(every, "$JS.API").create_stream(ORDERS, "orders")
    some, _ = await started(make_broker, server.url.replace("://", "://some:x@"))
    await StreamReads(every, JetStream(every, "$JS.API")).prove(info, "orders")
    with pytest.raises(GatewayError, match=rf"NATS refuses '\$JS\.API\.{verb}\.ORDERS'") as refused:
        await StreamReads(some, JetStream(some, "$JS.API")).prove(info, "orders")
    assert refused.value.kind is FORBIDDEN
    server.stop()


@pytest.mark.parametrize(
    ("stamp", "wanted"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:00.5Z", 5 * 10**8),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2026-11-25T19:04:01.643584123Z", 1795633441643584123),
    ],
)
def test_nanoseconds(stamp: str, wanted: int) -> None:
    assert nanoseconds(stamp) == wanted


@pytest.mark.parametrize("stamp", ["", "now", "2026-13-01T00:00:00Z"])
def test_no_time(stamp: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        nanoseconds(stamp)

"""JetStream's API on a real server: streams, consumers, and what is said where there is none of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.brokers import Brokers, started
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived
from wsgw.broker import jetstream as module
from wsgw.broker.broker import Broker
from wsgw.broker.jetstream import JetStream, StreamInfo, difference
from wsgw.channels.durable import Durable
from wsgw.errors import STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

ORDERS = Durable("ORDERS", max_age_seconds=3600.0, max_bytes=1024 * 1024)


@pytest.fixture
async def broker(make_broker: Brokers, jetstream: NatsServer) -> Broker:
    broker, _ = await started(make_broker, jetstream.url)
    return broker


@pytest.fixture
async def streams(broker: Broker) -> JetStream:
    return JetStream(broker, "$JS.API")


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


async def test_a_stream_is_made_as_configured(streams: JetStream, peer: Peer) -> None:
    assert await streams.stream("ORDERS") is None
    made = await streams.create_stream(ORDERS, "orders")
    assert (made.name, made.first, made.last, made.deleted, made.allows_direct) == ("ORDERS", 1, 0, 0, True)
    assert difference(ORDERS, "orders", made) is None
    await peer.store("orders", "a", "b")
    found = await streams.stream("ORDERS")
    assert found is not None
    assert (found.created, found.first, found.last) == (made.created, 1, 2)


@pytest.mark.parametrize(
    ("config", "is_all"),
    [
        ({"subjects": ["orders"]}, True),
        ({"subjects": ["orders"], "sources": [], "mirror": None}, True),
        ({"subjects": ["orders", "others"]}, False),
        ({"subjects": ["orders.*"]}, False),
        ({"subjects": ["orders"], "sources": [{"name": "S"}]}, False),
        ({"mirror": {"name": "S"}}, False),
    ],
)
def test_whether_it_has_one_subject_only(config: dict[str, Any], is_all: bool) -> None:
    assert StreamInfo("S", "", 1, 0, 0, config).is_all("orders") is is_all


@pytest.mark.parametrize(
    ("other", "subject", "words"),
    [
        (
            Durable("ORDERS", max_age_seconds=7200.0, max_bytes=1024 * 1024),
            "orders",
            "max_age 3600 s, the configuration says 7200 s",
        ),
        (Durable("ORDERS", max_age_seconds=3600.0), "orders", "max_bytes 1048576, the configuration says 1073741824"),
        (ORDERS, "others", "subjects orders, the configuration says others"),
    ],
)
async def test_a_stream_that_is_otherwise(streams: JetStream, other: Durable, subject: str, words: str) -> None:
    info = await streams.create_stream(ORDERS, "orders")
    assert difference(other, subject, info) == f"stream ORDERS has {words}"


async def test_a_consumer_brings_what_is_there_and_what_comes(streams: JetStream, broker: Broker, peer: Peer) -> None:
    await streams.create_stream(ORDERS, "orders")
    await peer.store("orders", "a", "b", "c")
    inbox, came = broker.new_inbox(), list[Publication]()
    await broker.subscribe(inbox, came.append)
    name = await streams.create_consumer("ORDERS", "orders", inbox, 2)
    await peer.store("orders", "d")
    await arrived(came, 3)
    assert [(one.subject, one.payload) for one in came[:3]] == [("orders", b"b"), ("orders", b"c"), ("orders", b"d")]
    await arrived(came, 4)
    beat = came[3]
    assert (beat.subject, beat.payload, beat.headers.status) == (inbox, b"", 100)
    await streams.delete_consumer("ORDERS", name)


async def test_without_a_stream_or_jetstream(
    streams: JetStream, make_broker: Brokers, nats: NatsServer, broker: Broker
) -> None:
    with pytest.raises(
        GatewayError, match=r"a consumer of stream NONE: JetStream says: stream not found \(10059\)"
    ) as no:
        await streams.create_consumer("NONE", "none", broker.new_inbox(), 1)
    assert no.value.kind is STREAM_UNAVAILABLE
    plain, _ = await started(make_broker, nats.url)
    with pytest.raises(GatewayError, match="stream S: NATS has no JetStream for this account") as none:
        await JetStream(plain, "$JS.API").stream("S")
    assert none.value.kind is STREAM_UNAVAILABLE


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"error": 5}', b'{"state": {}, "config": {}}', b'{"config": 1}']
)
async def test_answers_that_are_none(
    make_broker: Brokers, nats: NatsServer, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer("FAKE.>", lambda _: answer)
    broker, _ = await started(make_broker, nats.url)
    with pytest.raises(GatewayError, match="JetStream") as none:
        await JetStream(broker, "FAKE").stream("S")
    assert none.value.kind is STREAM_UNAVAILABLE
    monkeypatch.setattr(module, "API_TIMEOUT_SECONDS", 0.2)
    await peer.messages("SILENT.>")
    with pytest.raises(GatewayError, match=r"JetStream did not answer SILENT.STREAM.INFO.S within 0\.2 s"):
        await JetStream(broker, "SILENT").stream("S")
    await peer.close()

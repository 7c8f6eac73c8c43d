"""Messages are accepted when their stream has stored them: on a real JetStream."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.brokers import Brokers, started
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.storing import S, Told, make_stream, store, stored
from helpers.waiting import arrived, eventually
from wsgw.broker import broker as broker_module
from wsgw.broker import lane
from wsgw.broker import stored as module
from wsgw.broker.broker import Broker
from wsgw.broker.lane import Message
from wsgw.broker.puback import Stored
from wsgw.broker.stored import Storing
from wsgw.broker.subscription import Credentials
from wsgw.channels.durable import Durable
from wsgw.errors import FORBIDDEN, GatewayError


@pytest.fixture
async def broker(make_broker: Brokers, jetstream: NatsServer) -> Broker:
    await make_stream(jetstream.url)
    return (await started(make_broker, jetstream.url))[0]


@pytest.fixture
async def storing(broker: Broker) -> AsyncIterator[Storing]:
    made = Storing(broker)
    yield made
    await made.stop(0)
    nothing_is_left(made)


def nothing_is_left(storing: Storing) -> None:
    assert not storing._waiting
    assert not [message for lane in storing._lanes.values() for message in lane.queue]
    assert all(lane._messages == lane._bytes == 0 for lane in storing._lanes.values())
    assert storing._messages == 0
    assert (storing._broker._kept_messages, storing._broker._kept_bytes) == (0, 0)


async def test_stored_before_told(storing: Storing, jetstream: NatsServer) -> None:
    assert await store(storing, b"a", b"b") == [Stored(1), Stored(2)]
    assert await store(storing, b"c") == [Stored(3)]
    assert await stored(jetstream.url) == [b"a", b"b", b"c"]


async def test_what_is_told_outlives_the_server(broker: Broker, storing: Storing, jetstream: NatsServer) -> None:
    """Killed at once when 2,000 are stored, while more are on their way."""
    told = Told()
    for number in range(10_000):
        storing.publish(S, "s", [b"%d" % number], told)
    await eventually(lambda: len(told.results) >= 2000, "2,000 are stored")
    jetstream.stop()
    known = {receipt.sequence for receipt in told.receipts if isinstance(receipt, Stored)}
    assert len(known) >= 2000
    jetstream.start()
    await arrived(told.results, 10_000)
    assert set(told.kinds) == {"stored"}, "the others are sent again on the next connection"
    payloads = await stored(jetstream.url)
    assert sorted(map(int, payloads)) == list(range(10_000)), "each is there once"
    assert sorted(told.sequences) == list(range(1, 10_001))


async def test_many_in_order(storing: Storing, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WINDOW_MESSAGES", 500)
    most = 0
    send = storing._send

    def sending(messages: list[Message]) -> None:
        nonlocal most
        most = max(most, len(storing._waiting))
        send(messages)

    monkeypatch.setattr(storing, "_send", sending)
    told = Told()
    for number in range(0, 20_000, 4):
        storing.publish(S, "s", [b"%d" % each for each in range(number, number + 4)], told)
    await arrived(told.results, 5000)
    assert told.sequences == list(range(1, 20_001))
    assert [*map(int, await stored(jetstream.url))] == list(range(20_000))
    assert most == 500


class TestIds:
    async def test_the_clients(self, storing: Storing, jetstream: NatsServer) -> None:
        ids = ["a", None, "b", "a"]
        assert await store(storing, b"1", b"2", b"3", b"1", ids=ids) == [
            Stored(1),
            Stored(2),
            Stored(3),
            Stored(1, True),
        ]
        assert await store(storing, b"3", ids=["b"]) == [Stored(3, True)]
        assert await stored(jetstream.url) == [b"1", b"2", b"3"]

    async def test_on_another_gateway(self, storing: Storing, jetstream: NatsServer, make_broker: Brokers) -> None:
        await store(storing, b"1", ids=["a"])
        other = Storing((await started(make_broker, jetstream.url))[0])
        assert await store(other, b"1", ids=["a"]) == [Stored(1, True)]
        await other.stop(1)

    async def test_across_a_restart_of_nats(self, broker: Broker, storing: Storing, jetstream: NatsServer) -> None:
        await store(storing, b"1", ids=["a"])
        jetstream.stop()
        await eventually(lambda: not broker.connected, "the connection is lost")
        jetstream.start()
        await eventually(lambda: broker.connected, "connected")
        assert await store(storing, b"1", ids=["a"]) == [Stored(1, True)]

    async def test_what_is_none_is_refused_alone(self, storing: Storing) -> None:
        receipts = await store(storing, b"1", b"2", b"3", ids=["a b", "b", ""])
        assert [receipt.kind.name for receipt in receipts if isinstance(receipt, GatewayError)] == ["bad_request"] * 2
        assert receipts[1] == Stored(1)
        (receipt,) = await store(storing, b"1", ids=["x" * 1000])
        assert isinstance(receipt, GatewayError)

    async def test_prefixes_make_others_of_them(self, storing: Storing) -> None:
        assert await store(storing, b"1", ids=["a"], id_prefix="x:") == [Stored(1)]
        assert await store(storing, b"2", ids=["a"], id_prefix="y:") == [Stored(2)]
        assert await store(storing, b"3", ids=["a"], id_prefix="x:") == [Stored(1, True)]

    async def test_others_cannot_be_guessed(self, storing: Storing) -> None:
        tokens = [storing._token() for _ in range(1000)]
        assert len(set(tokens)) == 1000
        assert {len(token) for token in tokens} == {2 * module.TOKEN_BYTES}


class TestRefused:
    async def test_a_full_stream(self, storing: Storing, jetstream: NatsServer) -> None:
        full = Durable("FULL")
        await make_stream(jetstream.url, "FULL", "full", max_msgs=2, discard="new")
        receipts = await store(storing, b"a", b"b", b"c", subject="full", durable=full)
        assert receipts[:2] == [Stored(1), Stored(2)]
        assert isinstance(receipts[2], GatewayError)
        assert receipts[2].kind.name == "stream_full"
        assert "maximum messages exceeded" in receipts[2].message

    async def test_too_large_for_the_stream(self, storing: Storing, jetstream: NatsServer) -> None:
        await make_stream(jetstream.url, "SMALL", "small", max_msg_size=100)
        (receipt,) = await store(storing, bytes(101), subject="small", durable=Durable("SMALL"))
        assert isinstance(receipt, GatewayError)
        assert receipt.kind.name == "too_large"
        assert "message size exceeds maximum allowed" in receipt.message

    async def test_too_large_for_nats(self, broker: Broker, storing: Storing) -> None:
        """With its id, which only the gateway knows of."""
        receipts = await store(storing, b"a", bytes(broker.max_payload_bytes), b"b")
        assert [type(receipt) for receipt in receipts] == [Stored, GatewayError, Stored]
        assert isinstance(receipts[1], GatewayError)
        assert receipts[1].kind.name == "too_large"
        await store(storing, bytes(broker.max_payload_bytes - 200))

    async def test_no_stream(self, storing: Storing, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
        (receipt,) = await store(storing, subject="nowhere", durable=Durable("NONE"))
        assert isinstance(receipt, GatewayError)
        assert receipt.kind.name == "not_stored"
        assert receipt.message == "the stream 'NONE' has not stored it: no stream takes it"

    async def test_another_stream(self, storing: Storing) -> None:
        (receipt,) = await store(storing, durable=Durable("T"))
        assert isinstance(receipt, GatewayError)
        assert receipt.kind.name == "not_stored"

    async def test_a_subject_that_nats_denies(self, make_broker: Brokers, users: NatsServer) -> None:
        broker, _ = await started(make_broker, users.url, Credentials("limited", "secret"))
        storing = Storing(broker)
        (receipt,) = await store(storing, subject="denied")
        assert isinstance(receipt, GatewayError)
        assert receipt.kind.name == "forbidden"
        assert "denied" in receipt.message
        await storing.stop(1)
        nothing_is_left(storing)


RESTRICTED = """
jetstream {{store_dir: {folder}}}
accounts {{
  A: {{jetstream: enabled, users: [
    {{user: all, password: secret}}
    {{user: gateway, password: secret, permissions: {{publish: ["s", "_GATE.>"], subscribe: ["_GATE.>"]}}}}
  ]}}
}}
"""


async def test_a_restricted_account(start_server: Any, tmp_path: Any, make_broker: Brokers) -> None:
    """Which has no right but to publish, and to its own inbox."""
    server = start_server(RESTRICTED.format(folder=tmp_path))
    url = server.url.replace("nats://", "nats://gateway:secret@")
    admin = server.url.replace("nats://", "nats://all:secret@")
    await make_stream(admin)
    broker, _ = make_broker()
    broker = Broker([url], broker._metrics, inbox_prefix="_GATE")
    make_broker.made.append(broker)
    await broker.start()
    await broker.wait_connected()
    storing = Storing(broker)
    assert await store(storing, b"a") == [Stored(1)]
    (receipt,) = await store(storing, subject="t")
    assert isinstance(receipt, GatewayError)
    assert receipt.kind.name == "forbidden"
    await storing.stop(1)


async def test_an_inbox_that_nats_takes_away(storing: Storing, jetstream: NatsServer) -> None:
    """What was sent is in doubt then, and the next message makes another."""
    jetstream.freeze()
    told = Told()
    storing.publish(S, "s", [b"a"], told)
    inbox = storing._inbox
    assert inbox is not None
    inbox.end(GatewayError(FORBIDDEN, f"NATS refuses {inbox.subject!r}"))
    await arrived(told.results, 1)
    (error,) = told.receipts
    assert isinstance(error, GatewayError)
    assert error.kind.name == "maybe_stored"
    assert "its inbox (_INBOX.>)" in error.message
    assert inbox.subject not in error.message
    jetstream.thaw()
    assert await store(storing, b"b") == [Stored(2)]
    connection = storing._broker._connection
    assert connection is not None
    assert inbox not in [*connection._subscriptions]
    assert storing._inbox in [*connection._subscriptions]


async def test_what_waits_counts_for_the_broker(
    storing: Storing, broker: Broker, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients are held, and more than twice the limits is refused."""
    monkeypatch.setattr(broker_module, "MAX_IN_FLIGHT_MESSAGES", 10)
    calls: list[str] = []

    class Holder:
        def congested(self) -> None:
            calls.append("congested")

        def cleared(self) -> None:
            calls.append("cleared")

    broker.add(Holder())
    jetstream.freeze()
    told = Told()
    for _ in range(30):
        storing.publish(S, "s", [b"x"], told)
    assert calls == ["congested"]
    assert told.kinds == ["overloaded"] * 9
    assert value(broker._metrics, "wsgw_publishes_in_flight") == 21
    jetstream.thaw()
    await arrived(told.results, 30)
    assert calls == ["congested", "cleared"]
    assert told.kinds[9:] == ["stored"] * 21


async def test_a_stop_waits_for_what_is_on_its_way(storing: Storing, jetstream: NatsServer) -> None:
    told = Told()
    for _ in range(2000):
        storing.publish(S, "s", [b"x"], told)
    await storing.stop(30)
    assert told.kinds == ["stored"] * 2000
    (receipt,) = await store(storing)
    assert isinstance(receipt, GatewayError)
    assert receipt.kind.name == "nats_unavailable"


async def test_a_stop_is_bounded(storing: Storing, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WINDOW_MESSAGES", 3)
    jetstream.freeze()
    told = Told()
    for _ in range(5):
        storing.publish(S, "s", [b"x"], told)
    async with asyncio.timeout(10):
        await storing.stop(0.05)
    assert told.kinds == ["maybe_stored"] * 3 + ["not_stored"] * 2
    nothing_is_left(storing)
    jetstream.thaw()


async def test_what_is_over_is_freed(storing: Storing, jetstream: NatsServer) -> None:
    """Without the collector; and no timer goes on."""
    for _ in range(100):
        await store(storing, b"x", b"y")
    gc.collect()
    gc.disable()
    try:
        await store(storing, secrets.token_bytes(100))
        await eventually(lambda: storing._timer is None, "no timer")
        assert not [one for one in gc.get_objects() if type(one) is Message]
    finally:
        gc.enable()

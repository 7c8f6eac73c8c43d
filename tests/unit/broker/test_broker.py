"""The broker against servers that come, go, refuse and stall."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from uuid import uuid4

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.metrics import value
from helpers.nats_cluster import cluster_port
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.broker import broker as module
from wsgw.broker import connection
from wsgw.broker.subscription import Credentials
from wsgw.broker.uplink import NatsUnreachable
from wsgw.errors import (
    FORBIDDEN,
    NATS_UNAVAILABLE,
    OVERLOADED,
    TOO_LARGE,
    UNCONFIRMED,
    GatewayError,
    Kind,
)
from wsgw.fanout.publication import Publication


async def test_without_nats_everything_is_refused_at_once(
    make_broker: Brokers, start_server: Callable[..., NatsServer]
) -> None:
    server = start_server()
    server.stop()
    broker, metrics = make_broker(server.url)
    await broker.start()
    assert not broker.connected
    assert broker.max_payload_bytes == 1024 * 1024
    assert await publish(broker, "a") is NATS_UNAVAILABLE
    refusals: list[object] = [
        broker.subscribe("a", lambda publication: None),
        broker.subscribe_all([("a", lambda publication: None)]),
        broker.barrier(),
        broker.request("a", b"", 1),
    ]
    for refusal in refusals:
        with pytest.raises(GatewayError) as caught:
            await refusal  # type: ignore[misc]
        assert caught.value.kind is NATS_UNAVAILABLE
    assert value(metrics, "wsgw_nats_connected") == 0


async def test_it_waits_for_nats(
    make_broker: Brokers, start_server: Callable[..., NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    server.stop()
    broker, metrics = make_broker(server.url)
    await broker.start()
    await eventually(lambda: "waiting for NATS" in caplog.text, "a word about the wait")
    server.start()
    await asyncio.wait_for(broker.wait_connected(), DEADLINE_SECONDS)
    assert await publish(broker, "a") is None
    assert value(metrics, "wsgw_nats_connected") == 1
    assert value(metrics, "wsgw_nats_reconnects_total") == 0
    assert caplog.text.count("waiting for NATS") == 1


async def test_it_connects_again(make_broker: Brokers, start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    broker, metrics = await started(make_broker, server.url)
    got: list[Publication] = []
    subscription = await broker.subscribe("a", got.append)
    server.stop()
    error = await asyncio.wait_for(asyncio.shield(subscription.ended), DEADLINE_SECONDS)
    assert error.kind is NATS_UNAVAILABLE
    await eventually(lambda: not broker.connected, "the loss is noticed")
    assert value(metrics, "wsgw_nats_connected") == 0
    assert await publish(broker, "a") is NATS_UNAVAILABLE
    broker.unsubscribe(subscription)
    server.start()
    await asyncio.wait_for(broker.wait_connected(), DEADLINE_SECONDS)
    assert value(metrics, "wsgw_nats_reconnects_total") == 1
    broker.unsubscribe(subscription)
    await broker.subscribe("a", got.append)
    assert await publish(broker, "a") is None
    await arrived(got, 1)


async def test_it_goes_on_after_anything(
    make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = connection.NatsConnection.open

    async def fail(*args: object) -> None:
        monkeypatch.setattr(connection.NatsConnection, "open", opened)
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(connection.NatsConnection, "open", fail)
    broker, _ = await started(make_broker, nats.url)
    assert await publish(broker, "a") is None
    assert "ZeroDivisionError: unforeseen" in caplog.text


async def test_servers_that_the_cluster_told_of_get_the_credentials_of_the_url(
    make_broker: Brokers, start_server: Callable[..., NatsServer]
) -> None:
    rules = "authorization {user: u, password: p}\n"
    first = start_server(rules + 'cluster {name: c, listen: "127.0.0.1:-1"}')
    route = f"nats://127.0.0.1:{cluster_port(first)}"
    second = start_server(f'{rules}cluster {{name: c, listen: "127.0.0.1:-1", routes: ["{route}"]}}')
    broker, metrics = await started(make_broker, first.url.replace("//", "//u:p@"))
    there = broker._connection
    assert there is not None
    await eventually(lambda: f"nats://u:p@127.0.0.1:{second.port}" in there.discovered(), "word of the second server")
    first.stop()
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "a connection to the second server")
    assert await publish(broker, "a") is None


async def test_another_server_of_the_cluster_takes_more(
    make_broker: Brokers, start_server: Callable[..., NatsServer]
) -> None:
    """nats-server asks neither of its routes nor of those who listen how much they take."""
    first = start_server('max_payload: 1MB\ncluster {name: c, listen: "127.0.0.1:-1"}')
    route = f"nats://127.0.0.1:{cluster_port(first)}"
    second = start_server(f'max_payload: 8MB\ncluster {{name: c, listen: "127.0.0.1:-1", routes: ["{route}"]}}')
    broker, _ = await started(make_broker, first.url)
    assert broker.max_payload_bytes == 2**20
    got: list[Publication] = []
    await broker.subscribe("a", got.append)
    publisher = await Peer.connect(second.url)
    while not got:  # until its server knows of the subscription
        await publisher.publish("a", b"x")
        await asyncio.sleep(0.01)
    await publisher.publish("a", bytes(8 * 2**20))
    await eventually(lambda: len(got[-1].payload) == 8 * 2**20, "the large one")
    await publisher.close()


async def test_the_next_server_is_tried(
    make_broker: Brokers, nats: NatsServer, start_server: Callable[..., NatsServer]
) -> None:
    dead = start_server()
    dead.stop()
    broker, _ = make_broker(dead.url, nats.url)
    await broker.start(wait=False)
    assert await publish(broker, "a") is None


async def test_no_waiting_when_not_wanted(make_broker: Brokers, start_server: Callable[..., NatsServer]) -> None:
    dead = start_server()
    dead.stop()
    broker, _ = make_broker(dead.url.replace("//", "//user:secret@"))
    with pytest.raises(NatsUnreachable) as caught:
        await broker.start(wait=False)
    assert f"user:***@127.0.0.1:{dead.port}" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_credentials(make_broker: Brokers, users: NatsServer, start_server: Callable[..., NatsServer]) -> None:
    broker, _ = await started(make_broker, users.url, Credentials("limited", "secret"))
    assert broker.max_payload_bytes == 2048
    assert await publish(broker, "ok.x") is None
    assert await publish(broker, "no") is FORBIDDEN
    assert await publish(broker, "ok.x", bytes(2049)) is TOO_LARGE
    token = start_server("authorization {token: sesame}")
    by_token, _ = await started(make_broker, token.url, Credentials(token="sesame"))
    assert await publish(by_token, "a") is None


async def test_messages_both_ways(make_broker: Brokers, nats: NatsServer, peer: Peer) -> None:
    broker, _ = await started(make_broker, nats.url)
    name = uuid4().hex
    got: list[Publication] = []
    subscription = await broker.subscribe(f"{name}.in", got.append)
    outgoing = await peer.listen(f"{name}.out")
    await peer.publish(f"{name}.in", b"1", b"2")
    await arrived(got, 2)
    assert await publish(broker, f"{name}.out", b"3") is None
    await arrived(outgoing, 1)
    await peer.answer(f"{name}.ask", lambda payload: payload + b"!")
    assert (await broker.request(f"{name}.ask", b"4", 5)).payload == b"4!"
    broker.unsubscribe(subscription)
    await broker.barrier()


async def test_headers_both_ways(make_broker: Brokers, nats: NatsServer, peer: Peer) -> None:
    broker, _ = await started(make_broker, nats.url)
    name = uuid4().hex
    got: list[Publication] = []
    await broker.subscribe(f"{name}.in", got.append)
    outgoing = await peer.messages(f"{name}.out")
    await peer.nats.publish(f"{name}.in", b"1", reply=f"{name}.reply", headers={"A": "b"})
    await arrived(got, 1)
    assert (got[0].payload, got[0].reply, dict(got[0].headers)) == (b"1", f"{name}.reply", {"A": ("b",)})
    told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
    broker.publish(f"{name}.out", [b"2"], told.set_result, got[0].headers)
    assert await asyncio.wait_for(told, DEADLINE_SECONDS) is None
    await arrived(outgoing, 1)
    assert (outgoing[0].data, outgoing[0].headers) == (b"2", {"A": "b"})


class Publisher:
    """Writes down what the broker asks of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def congested(self) -> None:
        self.told.append("congested")

    def cleared(self) -> None:
        self.told.append("cleared")


async def test_congestion(make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_MESSAGES", 10)
    broker, metrics = await started(make_broker, nats.url)
    told: list[GatewayError | None] = []
    early, gone, late = Publisher(), Publisher(), Publisher()
    broker.add(early)
    broker.add(gone)
    broker.discard(gone)
    broker.discard(gone)
    for number in range(25):
        broker.publish("a", [b"x"], told.append)
        assert early.told == (["congested"] if number >= 10 else [])
    assert [error.kind for error in told if error is not None] == [OVERLOADED] * 4
    assert value(metrics, "wsgw_publishes_in_flight") == 21
    broker.add(late)
    assert late.told == ["congested"]
    await broker.barrier()
    await eventually(lambda: late.told == early.told == ["congested", "cleared"], "the word that it is clear")
    assert gone.told == []
    assert told.count(None) == 21
    assert value(metrics, "wsgw_publishes_in_flight") == 0


async def test_who_is_let_go_first_is_a_matter_of_chance(
    make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones may fill it again, and the last ones would never have their turn."""
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_MESSAGES", 1)
    random.seed(1)
    broker, _ = await started(make_broker, nats.url)
    let_go: list[int] = []

    class Numbered(Publisher):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def cleared(self) -> None:
            let_go.append(self.number)

    publishers = [Numbered(number) for number in range(50)]
    for publisher in publishers:
        broker.add(publisher)
    for _ in range(2):
        broker.publish("a", [b"x"], lambda error: None)
    await arrived(let_go, 50)
    assert let_go != sorted(let_go) == list(range(50))


async def test_congestion_by_bytes(make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 100)
    broker, _ = await started(make_broker, nats.url)
    told: list[GatewayError | None] = []
    publisher = Publisher()
    broker.add(publisher)
    for size, congested in ((100, False), (1, True), (100, True), (0, True)):
        broker.publish("a", [bytes(size)], told.append)
        assert bool(publisher.told) == congested
    assert [error.kind for error in told if error is not None] == [OVERLOADED]
    await broker.barrier()
    assert publisher.told == ["congested", "cleared"]


async def test_who_cannot_be_held_is_refused_earlier(
    make_broker: Brokers, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 100)
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_MESSAGES", 3)
    broker, _ = await started(make_broker, nats.url)
    told: list[Kind | None] = []

    def publish(size: int, heldable: bool) -> list[Kind | None]:
        broker.publish(
            "a", [bytes(size)], lambda error: told.append(None if error is None else error.kind), heldable=heldable
        )
        return told

    assert publish(100, False) == publish(1, False) == []
    assert publish(1, False) == [OVERLOADED]
    assert publish(0, True) == [OVERLOADED], "others go on up to twice as much"
    await broker.barrier()
    told.clear()
    for _ in range(7):
        assert publish(1, False) == [], "many messages are not many bytes"
    assert publish(1, False) == [OVERLOADED]


async def test_congestion_ends_with_the_connection(
    make_broker: Brokers, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_MESSAGES", 1)
    server = start_server()
    broker, _ = await started(make_broker, server.url)
    server.freeze()
    told: list[GatewayError | None] = []
    publisher = Publisher()
    broker.add(publisher)
    for _ in range(3):
        broker.publish("a", [b"x"], told.append)
    assert publisher.told == ["congested"]
    server.stop()
    await eventually(lambda: publisher.told == ["congested", "cleared"], "publishers are let go")
    assert {error.kind for error in told if error is not None} <= {UNCONFIRMED, NATS_UNAVAILABLE}
    assert len(told) == 3


async def test_requests_are_bounded(
    make_broker: Brokers, nats: NatsServer, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REQUESTS", 1)
    broker, _ = await started(make_broker, nats.url)
    name = uuid4().hex
    got = await peer.listen(name)
    asking = asyncio.ensure_future(broker.request(name, b"", 60))
    await arrived(got, 1)
    with pytest.raises(GatewayError) as caught:
        await broker.request(name, b"", 60)
    assert caught.value.kind is OVERLOADED
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await peer.answer(f"{name}.2", lambda payload: payload)
    assert (await broker.request(f"{name}.2", b"x", 5)).payload == b"x"


async def test_requests_are_bounded_by_bytes(
    make_broker: Brokers, nats: NatsServer, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 100)
    broker, _ = await started(make_broker, nats.url)
    name = uuid4().hex
    got = await peer.listen(name)
    asking = asyncio.ensure_future(broker.request(name, bytes(60), 60))
    await arrived(got, 1)
    with pytest.raises(GatewayError) as caught:
        await broker.request(name, bytes(41), 60)
    assert caught.value.kind is OVERLOADED
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await peer.answer(f"{name}.2", lambda payload: payload)
    assert (await broker.request(f"{name}.2", bytes(100), 5)).payload == bytes(100)

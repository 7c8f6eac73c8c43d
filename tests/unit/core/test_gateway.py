"""The gateway without its surfaces: publishing, asking, counting, readiness, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import CHANNELS
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.config.file import ConfigFile
from wsgw.config.settings import load
from wsgw.core.gateway import Gateway, gateway_of, make_broker
from wsgw.errors import DRAINING, NO_RESPONDERS, TOO_LARGE, UNCONFIRMED, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError
from wsgw.metrics import TABLE, Metrics


class Client:
    """A connected client that is gone as soon as it is told to, or only when it is dropped."""

    def __init__(self, gateway: Gateway, stubborn: bool = False) -> None:
        self.gateway = gateway
        self.stubborn = stubborn
        self.calls: list[str] = []

    def drain(self) -> None:
        self.calls.append("drain")
        if not self.stubborn:
            self.gateway.disconnected(self, "websocket", "1001")

    def abort(self) -> None:
        self.calls.append("abort")
        self.gateway.disconnected(self, "websocket", "1006")


def made(url: str, **values: object) -> Gateway:
    file = ConfigFile("test", {"channels": CHANNELS})
    return Gateway(load({"nats": {"servers": [url]}, **values}, {}, file), Metrics())


@pytest.fixture
async def gateway(nats: NatsServer) -> AsyncIterator[Gateway]:
    gateway = made(nats.url)
    await gateway.start()
    await eventually(lambda: gateway.readiness().ready, "ready")
    yield gateway
    await gateway.stop(1)


async def publish(gateway: Gateway, name: str, payload: bytes = b"x") -> GatewayError | None:
    told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
    gateway.publish(name, payload, "http", told.set_result)
    return await asyncio.wait_for(told, DEADLINE_SECONDS)


async def test_publish(gateway: Gateway) -> None:
    assert await publish(gateway, "OUT") is None
    assert await publish(gateway, "chat.1") is None
    value = gateway.metrics.value
    assert value("wsgw_published_messages_total", channel="OUT", transport="http") == 1
    assert value("wsgw_published_messages_total", channel="chat.*", transport="http") == 1
    assert value("wsgw_publish_seconds_count", channel="OUT") == 1


async def test_refused_publishes_are_told_at_once_and_counted(gateway: Gateway) -> None:
    told: list[GatewayError | None] = []
    gateway.publish("NOPE", b"", "http", told.append)
    gateway.publish("IN", b"", "http", told.append)
    gateway.publish("OUT", bytes(1024 * 1024 + 1), "http", told.append)
    assert [error.kind for error in told if error is not None] == [UNKNOWN_CHANNEL, WRONG_DIRECTION, TOO_LARGE]
    assert value(gateway.metrics, "wsgw_publish_errors_total", channel="OUT", reason="too_large") == 1


async def test_no_name_of_a_client_becomes_a_label(gateway: Gateway) -> None:
    for name in ("NOPE", "chat.secret", "evil\n"):
        await publish(gateway, name)
    text = gateway.metrics.exposition().decode()
    for name in ("NOPE", "secret", "evil"):
        assert name not in text


async def test_which_names_are_answered_and_that_no_other_is_kept(gateway: Gateway) -> None:
    assert gateway.answers("SUM", "socketio")
    assert not gateway.answers("OUT", "socketio")
    gateway.publisher("OUT", "socketio")
    assert not gateway.answers("OUT", "socketio")
    name = "x" * 100_000
    with pytest.raises(GatewayError):
        gateway.publisher(name, "socketio")
    assert not gateway.answers(name, "socketio")
    assert [known for known, _ in gateway._publishers] == ["OUT"]


async def test_request(gateway: Gateway, nats: NatsServer) -> None:
    with pytest.raises(GatewayError) as caught:
        await gateway.request("SUM", b"")
    assert caught.value.kind is NO_RESPONDERS
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload * 2)
    assert await gateway.request("SUM", b"ab") == b"abab"
    assert value(gateway.metrics, "wsgw_request_seconds_count", channel="SUM") == 1
    with pytest.raises(GatewayError) as caught:
        await gateway.request("OUT", b"")
    assert caught.value.kind is WRONG_DIRECTION
    await peer.close()


async def test_series_are_there_from_the_start(gateway: Gateway) -> None:
    text = gateway.metrics.exposition().decode()
    for channel in ("IN", "BOTH", "chat.*"):
        for name in ("nats_messages_total", "delivered_bytes_total", "gaps_total", "subscriptions"):
            assert f'wsgw_{name}{{channel="{channel}"}} 0.0' in text
    for transport in ("websocket", "socketio", "http"):
        assert f'wsgw_published_messages_total{{channel="OUT",transport="{transport}"}} 0.0' in text
    assert 'wsgw_nats_messages_total{channel="OUT"}' not in text
    for channel, reasons in (
        ("IN", ["wrong_direction"]),
        ("OUT", ["forbidden", "nats_unavailable", "overloaded", "too_large", "unconfirmed", "wrong_direction"]),
        ("SUM", ["no_responders", "timeout", "unconfirmed"]),
        ("chat.*", ["unknown_channel"]),
        ("", ["unknown_channel"]),
    ):
        for reason in reasons:
            assert f'wsgw_publish_errors_total{{channel="{channel}",reason="{reason}"}} 0.0' in text
    for spec in TABLE:
        assert f"# HELP {spec.name}" in text


async def test_the_loops_lag_is_measured(gateway: Gateway) -> None:
    gateway.metrics.event_loop_lag_seconds.set(-1)
    await eventually(lambda: value(gateway.metrics, "wsgw_event_loop_lag_seconds") >= 0, "a measurement")


async def test_readiness(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    gateway = made(server.url)
    assert not gateway.readiness().ready
    assert gateway.readiness().bridges.keys() == {"IN", "BOTH", "chat.*"}
    await gateway.start()
    await eventually(lambda: gateway.readiness().ready, "ready")
    server.stop()
    await eventually(lambda: not gateway.readiness().ready, "not ready")
    assert gateway.readiness().nats == "not connected"
    server.start()
    await eventually(lambda: gateway.readiness().ready, "ready again")
    await gateway.drain(1)
    assert not gateway.readiness().ready
    assert gateway.readiness().draining
    await gateway.stop(1)


async def test_drain(gateway: Gateway) -> None:
    clients = [Client(gateway), Client(gateway)]
    for client in clients:
        gateway.connected(client, "websocket")
    gateway.admit()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await gateway.drain(60)
    assert [client.calls for client in clients] == [["drain"], ["drain"]]
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 0
    with pytest.raises(GatewayError) as caught:
        gateway.admit()
    assert caught.value.kind is DRAINING


async def test_a_client_that_stays_is_dropped(gateway: Gateway) -> None:
    polite, stubborn = Client(gateway), Client(gateway, stubborn=True)
    gateway.connected(polite, "websocket")
    gateway.connected(stubborn, "websocket")
    async with asyncio.timeout(DEADLINE_SECONDS):
        await gateway.drain(0.05)
    assert stubborn.calls == ["drain", "abort"]
    assert polite.calls == ["drain"]
    assert value(gateway.metrics, "wsgw_closes_total", code="1006") == 1


async def test_drain_seconds_run_once(nats: NatsServer) -> None:
    gateway = made(nats.url, drain_seconds=600)
    gateway.begin_drain()
    assert 200 < gateway.seconds_left(0.5) <= 300
    assert 500 < gateway.seconds_left() <= 600
    assert gateway.seconds_left(0) == 0
    left = gateway.seconds_left()
    await eventually(lambda: gateway.seconds_left() < left, "time passes")
    gateway.begin_drain()
    assert gateway.seconds_left() < left


async def test_a_stop_is_bounded_by_drain_seconds(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    gateway = made(server.url, drain_seconds=0.5)
    await gateway.start()
    await eventually(lambda: gateway.readiness().ready, "ready")
    server.freeze()
    started = asyncio.get_running_loop().time()
    await gateway.stop(60)
    assert asyncio.get_running_loop().time() - started < 10
    server.thaw()


async def test_disconnected_counts_once(gateway: Gateway) -> None:
    client = Client(gateway)
    gateway.disconnected(client, "websocket", "1000")  # one that never was
    gateway.connected(client, "websocket")
    gateway.disconnected(client, "websocket", "1000")
    gateway.disconnected(client, "websocket", "1000")
    assert value(gateway.metrics, "wsgw_connections", transport="websocket") == 0
    assert value(gateway.metrics, "wsgw_closes_total", code="1000") == 1


async def test_unless_stopped(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    loop.call_soon(answer.set_result, 5)
    assert await gateway.unless_stopped(answer) == 5
    never: asyncio.Future[int] = loop.create_future()
    loop.call_soon(gateway.give_up)
    with pytest.raises(GatewayError) as caught:
        await gateway.unless_stopped(never)
    assert caught.value.kind is UNCONFIRMED
    assert never.cancelled()
    gateway.give_up()


async def test_a_stop_confirms_what_is_in_flight(nats: NatsServer) -> None:
    gateway = made(nats.url)
    await gateway.start()
    await eventually(lambda: gateway.readiness().ready, "ready")
    told: list[GatewayError | None] = []
    for _ in range(100):
        gateway.publish("OUT", b"x", "http", told.append)
    await gateway.stop(DEADLINE_SECONDS)
    assert told == [None] * 100


async def test_a_broker_has_the_settings_credentials(start_server: Callable[..., NatsServer]) -> None:
    server = start_server("authorization {users = [{user: u, password: p}]}")
    broker = make_broker(load({"nats": {"servers": server.url, "user": "u", "password": "p"}}, {}), Metrics())
    await broker.start(wait=False)
    assert broker.connected
    await broker.stop(1)
    token = start_server("authorization {token: t}")
    broker = make_broker(load({"nats": {"servers": token.url, "token": "t"}}, {}), Metrics())
    await broker.start(wait=False)
    await broker.stop(1)


def test_an_application_that_was_not_started() -> None:
    class App:
        class state:
            pass

    with pytest.raises(RuntimeError, match="lifespan"):
        gateway_of({"app": App})

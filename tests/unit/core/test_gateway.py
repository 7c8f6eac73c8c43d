"""The gateway without its surfaces: sessions that are opened, readiness, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.fanout import Wire, no_overflow, publication
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.session import Client, Except, made, outcome, principal, started
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.access.rules import AllowAll
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import Use
from wsgw.config.load import load
from wsgw.core.gateway import Gateway, make_broker
from wsgw.errors import DRAINING, NO_MEMORY, GatewayError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.metrics import Metrics


async def test_a_session_is_its_clients(gateway: Gateway) -> None:
    who, sender = principal(), gateway.sender(Wire(), no_overflow)
    session = gateway.open_session(who, Client(), sender)
    assert (session.principal, session.sender) == (who, sender)
    assert sender.session is session
    assert session.max_payload_bytes == gateway.max_payload_bytes == 1024 * 1024


async def test_no_session_while_stopping(gateway: Gateway) -> None:
    session = gateway.open_session(principal())
    assert not session.draining
    gateway.drain.begin()
    assert session.draining
    with pytest.raises(GatewayError) as caught:
        gateway.open_session(principal())
    assert caught.value.kind is DRAINING
    assert value(gateway.metrics, "wsgw_rejected_total", reason="draining") == 1


async def test_no_session_while_too_much_is_kept(gateway: Gateway) -> None:
    memory = gateway.edge.memory
    memory.add(memory.limit_bytes)
    gateway.open_session(principal())
    memory.add(1)
    with pytest.raises(GatewayError, match=str(memory.limit_bytes)) as caught:
        gateway.open_session(principal())
    assert caught.value.kind is NO_MEMORY
    assert value(gateway.metrics, "wsgw_rejected_total", reason="no_memory") == 1
    memory.add(-1)
    gateway.open_session(principal())


async def test_what_waits_for_clients_is_kept_for_them(gateway: Gateway) -> None:
    sender = gateway.sender(Wire(), no_overflow)
    sender.send(Encoded(Message(True, b"x")))
    assert value(gateway.metrics, "wsgw_memory_bytes") == gateway.edge.memory.used_bytes > 0
    sender.close()
    assert value(gateway.metrics, "wsgw_memory_bytes") == 0


async def test_who_was_refused_before_there_was_a_session(gateway: Gateway) -> None:
    gateway.rejected("bad_handshake")
    assert value(gateway.metrics, "wsgw_rejected_total", reason="bad_handshake") == 1


async def test_rules_unless_told(nats: NatsServer) -> None:
    rules = Except()
    assert made(nats.url, rules).rules is rules
    assert isinstance(made(nats.url).rules, AllowAll)


async def test_all_senders_are_one_total(gateway: Gateway) -> None:
    sessions = [
        gateway.open_session(principal(), Client(), gateway.sender(Wire(transport), no_overflow))
        for transport in ("websocket", "socketio")
    ]
    for session in sessions:
        session.join("BOTH")
        session.listen()
    assert await outcome(gateway.open_session(principal()), "BOTH", b"abc", b"de") is None
    await eventually(lambda: value(gateway.metrics, "wsgw_outbox_messages") == 4, "they wait")
    assert value(gateway.metrics, "wsgw_outbox_bytes") == 10
    for session in sessions:
        session.end(1000)


async def test_bridges(gateway: Gateway) -> None:
    for name in ("IN", "BOTH", "chat.*"):
        channel = gateway.channels.find(name, Use.SUBSCRIBE)
        assert gateway.bridge_of(channel).reason == ""


async def test_no_name_of_a_client_becomes_a_label(gateway: Gateway) -> None:
    session = gateway.open_session(principal())
    for name in ("NOPE", "chat.secret", "evil\n"):
        await outcome(session, name)
    text = gateway.metrics.exposition().decode()
    for name in ("NOPE", "secret", "evil"):
        assert name not in text


async def test_the_loops_lag_is_measured(gateway: Gateway) -> None:
    gateway.metrics.event_loop_lag_seconds.set(-1)
    await eventually(lambda: value(gateway.metrics, "wsgw_event_loop_lag_seconds") >= 0, "a measurement")
    await gateway.stop(1)
    assert gateway._looking_task is not None
    assert gateway._looking_task.done()


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
    await gateway.drain.run()
    assert not gateway.readiness().ready
    assert gateway.readiness().draining
    await gateway.stop(1)


async def test_a_drain_hands_over_what_the_hub_keeps(gateway: Gateway) -> None:
    sender = gateway.sender(Wire(), no_overflow)
    session = gateway.open_session(principal(), Client(), sender)
    session.join("IN")
    session.listen()
    gateway.hub.publish("IN", publication(b"x"))
    assert len(sender) == 0
    gateway.drain.begin()
    assert len(sender) == 1
    session.end(1001)


async def test_a_stop_is_bounded_by_drain_seconds(start_server: Callable[..., NatsServer]) -> None:
    server = start_server()
    gateway = made(server.url, drain_seconds=0.5)
    await gateway.start()
    await eventually(lambda: gateway.readiness().ready, "ready")
    server.freeze()
    begun = asyncio.get_running_loop().time()
    await gateway.stop(60)
    assert asyncio.get_running_loop().time() - begun < 10
    server.thaw()


async def test_a_stop_confirms_what_is_in_flight(nats: NatsServer) -> None:
    told: list[PublishResult] = []
    async with started(nats.url) as gateway:
        session = gateway.open_session(principal())
        for _ in range(100):
            session.publish("OUT", (b"x",), told.append)
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

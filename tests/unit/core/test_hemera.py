"""Outlets of hemera's channels: what reaches a service, what it answers, and what is refused and counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import started
from helpers.waiting import DEADLINE_SECONDS, arrived
from wsgw.bridges.fixed import FixedBridge
from wsgw.bridges.hemera import HemeraBridge
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import Use
from wsgw.core.gateway import Gateway
from wsgw.core.hemera import HemeraOutlet
from wsgw.core.outbound import Outlet
from wsgw.errors import BAD_REQUEST, NO_RESPONDERS, SERVICE_ERROR, TOO_LARGE, GatewayError

CHANNELS = [
    {"name": "ADD", "direction": "request", "hemera": {"topic": "core.math", "cmd": "add"}, "timeout": "500ms"},
    {"name": "SAY", "direction": "outbound", "subject": "core.news", "hemera": True},
    {"name": "NEWS", "direction": "inbound", "hemera": True},
    {"name": "PLAIN", "direction": "both"},
]


@pytest.fixture
async def gateway(nats: NatsServer) -> AsyncIterator[Gateway]:
    async with started(nats.url, channels=CHANNELS) as gateway:
        yield gateway


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    peer = await Peer.connect(nats.url)
    yield peer
    await peer.close()


def found(gateway: Gateway, name: str) -> Outlet:
    outlet = gateway.outlets.find(name, "http")
    assert isinstance(outlet, Outlet)
    return outlet


def errors(gateway: Gateway, channel: str, reason: str) -> float:
    return value(gateway.metrics, "wsgw_publish_errors_total", channel=channel, reason=reason)


async def published(outlet: Outlet, *payloads: bytes) -> PublishResult:
    told: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
    outlet.publish(payloads, told.set_result)
    return await asyncio.wait_for(told, DEADLINE_SECONDS)


async def refused(outlet: Outlet, payload: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await outlet.request(payload)
    return caught.value


async def test_its_kind_is_chosen_once(gateway: Gateway) -> None:
    assert type(found(gateway, "PLAIN")) is Outlet
    assert type(found(gateway, "ADD")) is type(found(gateway, "SAY")) is HemeraOutlet
    assert found(gateway, "ADD").subject == "core.math"
    kinds = {name: type(gateway.bridge_of(gateway.channels.find(name, Use.SUBSCRIBE))) for name in ("NEWS", "PLAIN")}
    assert kinds == {"NEWS": HemeraBridge, "PLAIN": FixedBridge}


async def test_publish(gateway: Gateway, peer: Peer) -> None:
    heard = await peer.listen("core.news")
    assert await published(found(gateway, "SAY"), b'{"n":1}', b'{"n":2}') is None
    await arrived(heard, 2)
    messages = [json.loads(message) for message in heard]
    assert [message["pattern"] for message in messages] == [{"topic": "core.news", "n": n} for n in (1, 2)]
    assert {message["request"]["type"] for message in messages} == {"pubsub"}
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="SAY", transport="http") == 2


async def test_a_payload_that_cannot_be_wrapped(gateway: Gateway, peer: Peer) -> None:
    """Of those that are published together none is then; who wants that of one alone checks it before."""
    heard = await peer.listen("core.news")
    outlet = found(gateway, "SAY")
    error = await published(outlet, b'{"n":1}', b"[]", b'{"n":2}')
    assert isinstance(error, GatewayError)
    assert error.kind is BAD_REQUEST
    assert error.__traceback__ is None
    assert errors(gateway, "SAY", "bad_request") == 3
    with pytest.raises(GatewayError) as caught:
        outlet.check(b"[]")
    assert caught.value.kind is BAD_REQUEST
    assert errors(gateway, "SAY", "bad_request") == 4
    outlet.check(b"{}")
    assert await published(outlet, b'{"n":3}') is None
    await arrived(heard, 1)
    assert [json.loads(message)["pattern"]["n"] for message in heard] == [3]


async def test_what_is_too_large_once_it_is_wrapped(gateway: Gateway) -> None:
    payload = json.dumps({"x": "y" * (gateway.max_payload_bytes - 100)}).encode()
    assert len(payload) < gateway.max_payload_bytes
    for outlet in (found(gateway, "SAY"), found(gateway, "ADD")):
        with pytest.raises(GatewayError) as caught:
            outlet.check(payload)
        assert caught.value.kind is TOO_LARGE
    for huge in ("x" * (gateway.max_payload_bytes + 1), bytes(gateway.max_payload_bytes + 1)):
        with pytest.raises(GatewayError) as caught:
            found(gateway, "SAY").check(huge)
        assert caught.value.kind is TOO_LARGE, "without a look at what it is"
    error = await published(found(gateway, "SAY"), payload)
    assert isinstance(error, GatewayError)
    assert error.kind is TOO_LARGE
    assert (await refused(found(gateway, "ADD"), payload)).kind is TOO_LARGE
    assert [errors(gateway, name, "too_large") for name in ("SAY", "ADD")] == [4, 2]


async def test_request(gateway: Gateway, peer: Peer) -> None:
    asked: list[Any] = []

    def answer(question: bytes) -> bytes:
        asked.append(json.loads(question))
        pattern = asked[-1]["pattern"]
        if "a" not in pattern:
            return b'{"result":null,"error":{"name":"Error","message":"a is missing","stack":"at x"}}'
        return b'{"result":{"sum":%d},"error":null}' % (pattern["a"] + pattern["b"])

    outlet = found(gateway, "ADD")
    assert (await refused(outlet, b"{}")).kind is NO_RESPONDERS
    await peer.answer("core.math", answer)
    assert (await outlet.request(b'{"a":1,"b":2}')).payload == b'{"sum":3}'
    assert asked[0]["pattern"] == {"topic": "core.math", "cmd": "add", "a": 1, "b": 2}
    assert asked[0]["request"]["type"] == "request"
    error = await refused(outlet, b"{}")
    assert (error.kind, error.message) == (SERVICE_ERROR, "the service on 'core.math' says: Error: a is missing")
    assert (await refused(outlet, b"5")).kind is BAD_REQUEST
    assert len(asked) == 2, "what cannot be wrapped is not asked"
    assert errors(gateway, "ADD", "service_error") == errors(gateway, "ADD", "bad_request") == 1
    assert errors(gateway, "ADD", "no_responders") == 1

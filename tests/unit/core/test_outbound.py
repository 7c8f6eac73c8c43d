"""Where names lead that clients send to, what is kept of them, and what is counted."""

from __future__ import annotations

import asyncio

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, arrived
from wsgw.channels.channel import Use
from wsgw.core import outbound as module
from wsgw.core.gateway import Gateway
from wsgw.core.outbound import Outlet, Outlets
from wsgw.errors import NO_RESPONDERS, TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError


@pytest.fixture
def outlets(gateway: Gateway) -> Outlets:
    return gateway.outlets


def errors(gateway: Gateway, channel: str, reason: str) -> float:
    return value(gateway.metrics, "wsgw_publish_errors_total", channel=channel, reason=reason)


async def published(outlet: Outlet, *payloads: bytes) -> GatewayError | None:
    told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
    outlet.publish(payloads, told.set_result)
    return await asyncio.wait_for(told, DEADLINE_SECONDS)


async def test_where_names_lead(outlets: Outlets) -> None:
    for name, channel, subject, use in (
        ("OUT", "OUT", "OUT", Use.PUBLISH),
        ("BOTH", "BOTH", "BOTH", Use.PUBLISH),
        ("chat.1", "chat.*", "rooms.1", Use.PUBLISH),
        ("SUM", "SUM", "math.sum", Use.REQUEST),
    ):
        outlet = outlets.find(name, "http")
        assert (outlet.name, outlet.channel.name, outlet.subject, outlet.use) == (name, channel, subject, use)


async def test_found_once_for_all_clients_of_a_transport(outlets: Outlets) -> None:
    assert outlets.find("OUT", "http") is outlets.find("OUT", "http")
    assert outlets.find("OUT", "http") is not outlets.find("OUT", "socketio")


async def test_names_that_lead_nowhere_are_not_kept(gateway: Gateway, outlets: Outlets) -> None:
    outlets.find("OUT", "socketio")
    for name, kind, label in (
        ("x" * 100_000, UNKNOWN_CHANNEL, ""),
        ("NOPE", UNKNOWN_CHANNEL, ""),
        ("IN", WRONG_DIRECTION, "IN"),
        ("chat.*", UNKNOWN_CHANNEL, "chat.*"),
    ):
        before = errors(gateway, label, kind.name)
        with pytest.raises(GatewayError) as caught:
            outlets.find(name, "socketio")
        assert caught.value.kind is kind
        assert errors(gateway, label, kind.name) == before + 1
    assert [known for known, _ in outlets._found] == ["OUT"]


async def test_not_many_are_kept(outlets: Outlets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTLETS", 3)
    first = outlets.find("chat.0", "http")
    for number in range(20):
        outlets.find(f"chat.{number}", "http")
        assert len(outlets._found) <= 3
    again = outlets.find("chat.0", "http")
    assert again is not first
    assert again.subject == "rooms.0"


async def test_what_it_is_not_for(gateway: Gateway, outlets: Outlets) -> None:
    for name, use, other in (("OUT", Use.PUBLISH, Use.REQUEST), ("SUM", Use.REQUEST, Use.PUBLISH)):
        outlet = outlets.find(name, "http")
        outlet.require(use)
        assert errors(gateway, name, "wrong_direction") == 0
        with pytest.raises(GatewayError) as caught:
            outlet.require(other)
        assert caught.value.kind is WRONG_DIRECTION
        assert errors(gateway, name, "wrong_direction") == 1


async def test_too_large(gateway: Gateway, outlets: Outlets) -> None:
    outlet = outlets.find("OUT", "http")
    outlet.check(bytes(gateway.max_payload_bytes))
    assert errors(gateway, "OUT", "too_large") == 0
    with pytest.raises(GatewayError) as caught:
        outlet.check(bytes(gateway.max_payload_bytes + 1))
    assert caught.value.kind is TOO_LARGE
    assert errors(gateway, "OUT", "too_large") == 1


async def test_publish(gateway: Gateway, outlets: Outlets, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("rooms.1")
    assert await published(outlets.find("chat.1", "http"), b"a", b"b") is None
    await arrived(heard, 2)
    assert heard == [b"a", b"b"]
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="chat.*", transport="http") == 2
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="chat.*", transport="websocket") == 0
    assert value(gateway.metrics, "wsgw_publish_seconds_count", channel="chat.*") == 1
    await peer.close()


async def test_what_nats_does_not_take_is_counted_by_messages(gateway: Gateway, outlets: Outlets) -> None:
    error = await published(outlets.find("OUT", "http"), bytes(gateway.max_payload_bytes + 1), b"b", b"c")
    assert error is not None
    assert error.kind is TOO_LARGE
    assert errors(gateway, "OUT", "too_large") == 3
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="OUT", transport="http") == 0


async def test_request(gateway: Gateway, outlets: Outlets, nats: NatsServer) -> None:
    outlet = outlets.find("SUM", "http")
    with pytest.raises(GatewayError) as caught:
        await outlet.request(b"")
    assert caught.value.kind is NO_RESPONDERS
    with pytest.raises(GatewayError) as caught:
        await outlet.request(bytes(gateway.max_payload_bytes + 1))
    assert caught.value.kind is TOO_LARGE
    assert errors(gateway, "SUM", "no_responders") == errors(gateway, "SUM", "too_large") == 1
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload * 2)
    assert await outlet.request(b"ab") == b"abab"
    assert value(gateway.metrics, "wsgw_request_seconds_count", channel="SUM") == 1
    await peer.close()

"""Where names lead that clients send to, what is kept of them, and what is counted."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, arrived
from wsgw.broker.puback import PublishResult
from wsgw.broker.services import ServiceError
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.channels.table import ChannelTable
from wsgw.core import outbound as module
from wsgw.core.gateway import Gateway
from wsgw.core.outbound import Outlet, Outlets
from wsgw.errors import NO_RESPONDERS, TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError, Kind


@pytest.fixture
def outlets(gateway: Gateway) -> Outlets:
    return gateway.outlets


def found(outlets: Outlets, name: str, transport: str = "http") -> Outlet:
    outlet = outlets.find(name, transport)
    assert isinstance(outlet, Outlet)
    return outlet


def refused(outlets: Outlets, name: str, use: Use = Use.PUBLISH, count: int = 1) -> Kind:
    error = outlets.find(name, "http", use, count)
    assert isinstance(error, GatewayError)
    return error.kind


def errors(gateway: Gateway, channel: str, reason: str) -> float:
    return value(gateway.metrics, "wsgw_publish_errors_total", channel=channel, reason=reason)


async def published(outlet: Outlet, *payloads: bytes) -> GatewayError | None:
    told: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
    outlet.publish(payloads, told.set_result)
    result = await asyncio.wait_for(told, DEADLINE_SECONDS)
    assert not isinstance(result, list), "the channel is durable"
    return result


async def test_where_names_lead(outlets: Outlets) -> None:
    for name, channel, subject, use in (
        ("OUT", "OUT", "OUT", Use.PUBLISH),
        ("BOTH", "BOTH", "BOTH", Use.PUBLISH),
        ("chat.1", "chat.*", "rooms.1", Use.PUBLISH),
        ("SUM", "SUM", "math.sum", Use.REQUEST),
    ):
        outlet = found(outlets, name)
        assert (outlet.name, outlet.channel.name, outlet.subject, outlet.use) == (name, channel, subject, use)


async def test_found_once_for_all_clients_of_a_transport(outlets: Outlets) -> None:
    assert found(outlets, "OUT") is found(outlets, "OUT")
    assert found(outlets, "OUT") is not found(outlets, "OUT", "socketio")


async def test_names_that_lead_nowhere(gateway: Gateway, outlets: Outlets) -> None:
    """Whether why is known already or not; they are counted by messages."""
    found(outlets, "OUT")
    for name, kind, label in (
        ("x" * 100_000, UNKNOWN_CHANNEL, ""),
        ("NOPE", UNKNOWN_CHANNEL, ""),
        ("IN", WRONG_DIRECTION, "IN"),
        ("chat.*", UNKNOWN_CHANNEL, "chat.*"),
    ):
        for count in (1, 4):
            before = errors(gateway, label, kind.name)
            assert refused(outlets, name, count=count) is kind
            assert errors(gateway, label, kind.name) == before + count
    assert [known for known, _ in outlets._found] == ["OUT"]


async def test_a_refusal_is_an_error_of_its_own(outlets: Outlets) -> None:
    """One that is raised again and again collects the frames of all that did so."""
    one, other = outlets.find("NOPE", "http"), outlets.find("NOPE", "http")
    assert one is not other
    assert str(one) == str(other) == "there is no channel 'NOPE'"
    texts = [str(outlets.find("IN", "http", use)) for use in (Use.PUBLISH, Use.REQUEST) for _ in range(2)]
    assert ["request" in text for text in texts] == [False, False, True, True]


async def test_why_names_lead_nowhere_is_asked_once(outlets: Outlets, monkeypatch: pytest.MonkeyPatch) -> None:
    """For short names, and not for very many: a client can make up any number of them."""
    monkeypatch.setattr(module, "MAX_REFUSALS", 3)
    asked: list[str] = []
    find = outlets._channels.find_to_send

    def asking(name: str, use: Use) -> tuple[Channel, str]:
        asked.append(name)
        return find(name, use)

    monkeypatch.setattr(outlets._channels, "find_to_send", asking)
    for name in ("a", "a", "b", "a", "x" * (module.MAX_REFUSED_NAME + 1), "a", "b"):
        refused(outlets, name)
    assert [name[:1] for name in asked] == ["a", "b", "x"]
    for number in range(20):
        refused(outlets, f"n{number}")
        assert len(outlets._refused) <= 3


async def test_not_many_are_kept(outlets: Outlets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTLETS", 3)
    first = found(outlets, "chat.0")
    for number in range(20):
        found(outlets, f"chat.{number}")
        assert len(outlets._found) <= 3
    again = found(outlets, "chat.0")
    assert again is not first
    assert again.subject == "rooms.0"


async def test_what_it_is_not_for(gateway: Gateway, outlets: Outlets) -> None:
    for name, use, other in (("OUT", Use.PUBLISH, Use.REQUEST), ("SUM", Use.REQUEST, Use.PUBLISH)):
        outlet = found(outlets, name)
        assert outlet.not_for(use) is None
        assert errors(gateway, name, "wrong_direction") == 0
        refusal = outlet.not_for(other, 3)
        assert refusal is not None
        assert refusal.kind is WRONG_DIRECTION
        assert errors(gateway, name, "wrong_direction") == 3


async def test_too_large(gateway: Gateway, outlets: Outlets) -> None:
    outlet = found(outlets, "OUT")
    outlet.check(bytes(gateway.max_payload_bytes))
    assert errors(gateway, "OUT", "too_large") == 0
    with pytest.raises(GatewayError) as caught:
        outlet.check(bytes(gateway.max_payload_bytes + 1))
    assert caught.value.kind is TOO_LARGE
    assert errors(gateway, "OUT", "too_large") == 1


async def test_publish(gateway: Gateway, outlets: Outlets, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("rooms.1")
    assert await published(found(outlets, "chat.1"), b"a", b"b") is None
    await arrived(heard, 2)
    assert heard == [b"a", b"b"]
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="chat.*", transport="http") == 2
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="chat.*", transport="websocket") == 0
    assert value(gateway.metrics, "wsgw_publish_seconds_count", channel="chat.*") == 1
    await peer.close()


async def test_payloads_are_not_kept_for_the_outcome(gateway: Gateway, outlets: Outlets) -> None:
    """They are in what is to be written, and nowhere else while NATS stands still."""

    class Payloads(list[bytes]):
        """Which can be referred to weakly."""

    told: list[PublishResult] = []
    payloads = Payloads([b"x"])
    found(outlets, "OUT").publish(payloads, told.append)
    gone = weakref.ref(payloads)
    del payloads
    assert (gone(), told) == (None, [])
    await arrived(told, 1)


async def test_what_nats_does_not_take_is_counted_by_messages(gateway: Gateway, outlets: Outlets) -> None:
    error = await published(found(outlets, "OUT"), bytes(gateway.max_payload_bytes + 1), b"b", b"c")
    assert error is not None
    assert error.kind is TOO_LARGE
    assert errors(gateway, "OUT", "too_large") == 3
    assert value(gateway.metrics, "wsgw_published_messages_total", channel="OUT", transport="http") == 0


async def test_request(gateway: Gateway, outlets: Outlets, nats: NatsServer) -> None:
    outlet = found(outlets, "SUM")
    with pytest.raises(GatewayError) as caught:
        await outlet.request(b"")
    assert caught.value.kind is NO_RESPONDERS
    with pytest.raises(GatewayError) as caught:
        await outlet.request(bytes(gateway.max_payload_bytes + 1))
    assert caught.value.kind is TOO_LARGE
    assert errors(gateway, "SUM", "no_responders") == errors(gateway, "SUM", "too_large") == 1
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload * 2)
    assert (await outlet.request(b"ab")).payload == b"abab"
    assert value(gateway.metrics, "wsgw_request_seconds_count", channel="SUM") == 1
    await peer.close()


async def test_an_error_of_a_responder_is_a_reply_that_failed(
    gateway: Gateway, outlets: Outlets, nats: NatsServer
) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer_with("math.sum", b"", {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "418"})
    with pytest.raises(ServiceError) as caught:
        await found(outlets, "SUM").request(b"")
    assert (caught.value.message, caught.value.code) == ("no", "418")
    assert errors(gateway, "SUM", "service_error") == 1
    assert value(gateway.metrics, "wsgw_request_seconds_count", channel="SUM") == 1
    await peer.close()


async def test_other_channels(gateway: Gateway, outlets: Outlets) -> None:
    before = found(outlets, "OUT")
    assert refused(outlets, "NEW") is UNKNOWN_CHANNEL
    outlets.replace(ChannelTable([Channel("NEW", Direction.OUTBOUND), Channel("OUT", Direction.BOTH, "elsewhere")]))
    assert found(outlets, "NEW").subject == "NEW"
    after = found(outlets, "OUT")
    assert (before.subject, after.subject) == ("OUT", "elsewhere")
    assert refused(outlets, "SUM", Use.REQUEST) is UNKNOWN_CHANNEL

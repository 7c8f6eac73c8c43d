"""What clients send to channels with ``authorize``: held in order until it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from helpers.deciding import Deciding
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, principal, started
from helpers.stack import Listener
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import NO_RIGHTS
from wsgw.access.rules import AllowAll
from wsgw.broker import broker as broker_module
from wsgw.broker.puback import PublishResult
from wsgw.core import permits as permits_module
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import GatewayError


class Made:
    """A session with a client, and what became of what it sent, in order."""

    def __init__(self, gateway: Gateway) -> None:
        self.client = Client()
        self.session: Session = gateway.open_session(principal(), self.client, Listener())
        self.told: list[tuple[str, str | None]] = []

    def send(self, name: str, *payloads: bytes) -> None:
        def settled(result: PublishResult) -> None:
            assert not isinstance(result, list)
            self.told.append((name, None if result is None else result.kind.name))

        self.session.publish(name, payloads, settled)


@pytest.fixture
async def deciding(nats: NatsServer) -> AsyncIterator[Deciding]:
    made = Deciding()
    await made.start(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def gateway(nats: NatsServer, deciding: Deciding) -> AsyncIterator[Gateway]:
    channels = [
        {"name": "asked.*", "direction": "both", "subject": "undecided.asked.*", **deciding.option},
        {"name": "free", "direction": "outbound", "subject": "undecided.free"},
        {"name": "sum.*", "direction": "request", "subject": "undecided.sum.*", **deciding.option},
        {"name": "freesum", "direction": "request", "subject": "undecided.freesum"},
    ]
    async with started(nats.url, channels=channels) as made:
        yield made


@pytest.fixture
def made(gateway: Gateway) -> Made:
    return Made(gateway)


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


async def test_the_first_message_waits_for_the_answer_and_the_next_ones_for_none(
    made: Made, deciding: Deciding, peer: Peer
) -> None:
    heard = await peer.listen("undecided.>")
    deciding.may_answer.clear()
    made.send("asked.1", b"1", b"2")
    made.send("asked.1", b"3")
    await arrived(deciding.asked, 1)
    assert made.client.calls == ["hold"]
    assert made.session.unsettled == 3
    assert (heard, made.told) == ([], [])
    deciding.may_answer.set()
    await arrived(made.told, 2)
    assert made.told == [("asked.1", None)] * 2
    await arrived(heard, 3)
    assert made.client.calls == ["hold", "release"]
    made.send("asked.1", b"4")
    await arrived(heard, 4)
    assert heard == [b"1", b"2", b"3", b"4"]
    assert made.client.calls == ["hold", "release"]
    assert deciding.verbs() == [("asked.1", "publish")]
    await eventually(lambda: not made.session.unsettled, "all is settled")


async def test_nothing_overtakes_what_waits(made: Made, deciding: Deciding, peer: Peer) -> None:
    heard = await peer.listen("undecided.>")
    made.send("free", b"0")
    deciding.may_answer.clear()
    made.send("asked.1", b"1")
    assert not isinstance(made.session.find("free"), GatewayError)  # as a surface does before it takes a message
    made.send("free", b"2")
    made.send("asked.2", b"3")
    made.send("free", b"4")
    await arrived(deciding.asked, 1)
    await arrived(heard, 1)
    deciding.may_answer.set()
    await arrived(heard, 5)
    assert heard == [b"0", b"1", b"2", b"3", b"4"]
    await arrived(made.told, 5)
    assert deciding.verbs() == [("asked.1", "publish"), ("asked.2", "publish")]
    assert deciding.most == 1


async def test_what_is_denied_is_told_and_what_waits_behind_it_goes_on(
    gateway: Gateway, made: Made, deciding: Deciding, peer: Peer
) -> None:
    heard = await peer.listen("undecided.>")
    deciding.decide = lambda asked: {"allow": asked["channel"] != "asked.1"}
    made.send("asked.1", b"1", b"1")
    made.send("free", b"2")
    made.send("asked.1", b"3")
    made.send("asked.2", b"4")
    await arrived(made.told, 4)
    assert dict(made.told) == {"asked.1": "forbidden", "free": None, "asked.2": None}
    await arrived(heard, 2)
    assert heard == [b"2", b"4"]
    assert deciding.verbs() == [("asked.1", "publish"), ("asked.2", "publish")]
    errors = value(gateway.metrics, "wsgw_publish_errors_total", channel="asked.*", reason="forbidden")
    assert errors == 3
    error = await outcome(made.session, "asked.1")  # known by now
    assert error is not None
    assert error.message == "this client may not publish to 'asked.1'"


async def test_when_its_time_is_over_the_next_message_waits_again(
    made: Made, deciding: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits_module, "LEAST_SECONDS", 0.05)
    deciding.decide = lambda _: {"allow": True, "ttl": 0}
    assert await outcome(made.session, "asked.1") is None
    await asyncio.sleep(0.1)
    assert len(deciding.asked) == 1  # nobody asks for who does nothing
    deciding.deny()
    error = await outcome(made.session, "asked.1")
    assert error is not None
    assert error.kind.name == "forbidden"


async def test_a_request_waits_and_is_refused_in_the_same_way(
    gateway: Gateway, made: Made, deciding: Deciding, peer: Peer
) -> None:
    await peer.answer("undecided.sum.>", lambda payload: payload + b"!")
    deciding.may_answer.clear()
    asking = made.session.request("sum.1", b"1")
    await arrived(deciding.asked, 1)
    assert not asking.done()
    assert made.session.is_waited_for
    deciding.may_answer.set()
    assert (await asking).payload == b"1!"
    assert (await made.session.request("sum.1", b"2")).payload == b"2!"
    assert deciding.verbs() == [("sum.1", "request")]
    deciding.deny(info="no sums")
    with pytest.raises(GatewayError, match=r"may not send requests to 'sum\.2': no sums"):
        await made.session.request("sum.2", b"3")
    assert value(gateway.metrics, "wsgw_publish_errors_total", channel="sum.*", reason="forbidden") == 1


async def test_a_request_does_not_overtake_messages(made: Made, deciding: Deciding, peer: Peer) -> None:
    heard = await peer.listen("undecided.asked.*")
    await peer.answer("undecided.freesum", lambda _: b"%d" % len(heard))
    deciding.may_answer.clear()
    made.send("asked.1", b"1")
    asking = made.session.request("freesum", b"")
    await arrived(deciding.asked, 1)
    assert not asking.done()
    deciding.may_answer.set()
    await asking
    await arrived(made.told, 1)


async def test_a_request_given_up_is_not_asked_about(made: Made, deciding: Deciding) -> None:
    deciding.may_answer.clear()
    first, given_up = made.session.request("sum.1", b"1"), made.session.request("sum.2", b"2")
    await arrived(deciding.asked, 1)
    given_up.cancel()
    deciding.may_answer.set()
    with pytest.raises(GatewayError, match="nobody answers"):
        await first
    made.send("asked.1", b"x")
    await arrived(made.told, 1)
    assert deciding.verbs() == [("sum.1", "request"), ("asked.1", "publish")]


async def test_who_goes_meanwhile_has_sent_it_all_the_same(
    gateway: Gateway, made: Made, deciding: Deciding, peer: Peer
) -> None:
    heard = await peer.listen("undecided.>")
    deciding.may_answer.clear()
    made.send("asked.1", b"1")
    made.send("free", b"2")
    await arrived(deciding.asked, 1)
    made.session.end(1006)
    deciding.may_answer.set()
    await arrived(heard, 2)
    assert heard == [b"1", b"2"]
    await eventually(lambda: value(gateway.metrics, "wsgw_publishes_in_flight") == 0, "nothing is kept")
    assert made.client.calls == ["hold"]


async def test_what_waits_counts_and_is_bounded(
    gateway: Gateway, made: Made, deciding: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "MAX_IN_FLIGHT_BYTES", 1000)
    deciding.may_answer.clear()
    made.send("asked.1", 1500 * b"x")
    assert value(gateway.metrics, "wsgw_publishes_in_flight") == 1
    made.send("asked.1", 600 * b"x")
    assert made.told == []  # it was not more than twice as much before
    made.send("asked.1", b"x")
    assert made.told == [("asked.1", "overloaded")]
    alone: Session = gateway.open_session(principal(transport="http"))
    error = await outcome(alone, "asked.1")
    assert error is not None
    assert error.kind.name == "overloaded"
    deciding.may_answer.set()
    await arrived(made.told, 3)
    await eventually(lambda: made.client.calls == ["hold", "release"], "it is read again")


async def test_a_subject_of_the_clients_own(nats: NatsServer, deciding: Deciding, peer: Peer) -> None:
    channels = [{"name": "room.*", "direction": "both", "subject": "t.{tenant}.room.*", **deciding.option}]
    heard = await peer.messages("t.*.room.*")
    auth = {"jwt": {"secret": 32 * "x"}, "identity_headers": {"user": "Wsgw-User"}}
    async with started(nats.url, AllowAll(), channels=channels, auth=auth) as gateway:
        for tenant in ("a", "b"):
            who = principal()
            who.identity = Identity("alice", NO_RIGHTS, {"tenant": tenant})
            sender = Listener()
            session: Session = gateway.open_session(who, Client(), sender)
            ready = session.join("room.1")
            assert ready is not None
            await ready
            session.listen()
            assert await outcome(session, "room.1", tenant.encode()) is None
            await arrived(sender.payloads, 1)
            assert sender.payloads == [tenant.encode()]
    await arrived(heard, 2)
    assert [message.subject for message in heard] == ["t.a.room.1", "t.b.room.1"]
    assert [message.headers for message in heard] == [{"Wsgw-User": "alice"}] * 2
    told = [(asked["claims"]["tenant"], asked["channel"], asked["verb"]) for asked in deciding.asked]
    assert told == [(tenant, "room.1", verb) for tenant in "ab" for verb in ("subscribe", "publish")]


async def test_a_request_over_http_waits_without_a_client(gateway: Gateway, deciding: Deciding) -> None:
    alone: Session = gateway.open_session(principal(transport="http"))
    assert await outcome(alone, "asked.1") is None
    deciding.deny()
    error = await outcome(gateway.open_session(principal(transport="http")), "asked.2")
    assert error is not None
    assert error.kind.name == "forbidden"


async def test_a_stop_settles_what_waits(nats: NatsServer, deciding: Deciding) -> None:
    channels = [
        {"name": "asked", "direction": "outbound", **deciding.option},
        {"name": "sum", "direction": "request", **deciding.option},
    ]
    async with started(nats.url, channels=channels) as gateway:
        made = Made(gateway)
        deciding.may_answer.clear()
        made.send("asked", b"1")
        asking = made.session.request("sum", b"2")
        await arrived(deciding.asked, 1)
    await arrived(made.told, 1)
    assert made.told == [("asked", "draining")]
    with pytest.raises(GatewayError) as refused:
        await asyncio.wait_for(asking, DEADLINE_SECONDS)
    assert refused.value.kind.name == "draining"

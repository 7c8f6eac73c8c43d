"""Joining names of channels with ``authorize``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.deciding import Deciding
from helpers.interest import interest
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, principal, started
from helpers.stack import Listener
from helpers.waiting import arrived, eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.access.rules import IdentityRules
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.core import permits as permits_module
from wsgw.core.gateway import Gateway
from wsgw.core.question import Denied
from wsgw.core.reload import reload
from wsgw.core.session import Session
from wsgw.errors import FORBIDDEN, GatewayError


class Made:
    def __init__(self, gateway: Gateway, identity: Identity | None = None) -> None:
        self.sender = Listener()
        self.client = Client()
        who = principal()
        who.identity = identity
        self.session: Session = gateway.open_session(who, self.client, self.sender)


@pytest.fixture
async def deciding(nats: NatsServer) -> AsyncIterator[Deciding]:
    made = Deciding()
    await made.start(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def gateway(nats: NatsServer, deciding: Deciding) -> AsyncIterator[Gateway]:
    channels = [
        {"name": "IN", "direction": "inbound", **deciding.option},
        {"name": "chat.*", "direction": "both", **deciding.option},
        {"name": "free.*", "direction": "both"},
    ]
    async with started(nats.url, channels=channels) as made:
        yield made


@pytest.fixture
def made(gateway: Gateway) -> Made:
    return Made(gateway)


async def test_nothing_comes_and_no_interest_is_taken_before_it_is_allowed(
    nats: NatsServer, made: Made, deciding: Deciding, peer: Peer
) -> None:
    deciding.may_answer.clear()
    session = made.session
    ready = session.join("chat.1")
    assert ready is not None
    assert session.join("chat.1") is None  # while it waits
    session.listen()
    await arrived(deciding.asked, 1)
    assert not session.has("chat.1")
    assert "chat.1" not in interest(nats)
    deciding.may_answer.set()
    await ready
    assert session.names == ("chat.1",)
    session.listen()
    await peer.publish("chat.1", b"x")
    await arrived(made.sender.payloads, 1)
    assert deciding.verbs() == [("chat.1", "subscribe")]
    assert session.unsubscribe("chat.1")
    session.join("chat.1")
    assert session.has("chat.1")  # at once, for the answer is known
    assert len(deciding.asked) == 1


async def test_a_denial_is_told_as_a_refusal_and_at_once_when_it_is_known(made: Made, deciding: Deciding) -> None:
    deciding.deny(info="ask the owner")
    ready = made.session.join("IN")
    assert ready is not None
    await ready
    assert made.client.refusals == [("IN", "forbidden")]
    assert made.session.names == ()
    with pytest.raises(Denied, match="may not subscribe to 'IN': ask the owner"):
        made.session.join("IN")
    assert len(deciding.asked) == 1


async def test_rights_come_first(gateway: Gateway, deciding: Deciding) -> None:
    alice = Identity("alice", rights_of({"subscribe": ["chat.1"]}))
    gateway.rules = IdentityRules()
    made = Made(gateway, alice)
    with pytest.raises(GatewayError):
        made.session.join("chat.2")
    ready = made.session.join("chat.1")
    assert ready is not None
    await ready
    assert deciding.asked == [{"user": "alice", "claims": {}, "channel": "chat.1", "verb": "subscribe"}]


async def test_a_thousand_clients_that_join_one_name_are_one_question(gateway: Gateway, deciding: Deciding) -> None:
    deciding.may_answer.clear()
    all_made = [Made(gateway) for _ in range(1000)]
    ready = [made.session.join("chat.1") for made in all_made]
    all_made[0].session.end(1006)  # which is nothing to the others
    deciding.may_answer.set()
    for future in ready[1:]:
        assert future is not None
        await future
    assert sum(made.session.has("chat.1") for made in all_made) == 999
    assert len(deciding.asked) == 1


async def test_who_leaves_or_goes_before_the_answer_gets_nothing(made: Made, deciding: Deciding) -> None:
    deciding.may_answer.clear()
    left, gone = made.session.join("chat.1"), made.session.join("chat.2")
    assert left is not None
    assert gone is not None
    assert made.session.unsubscribe("chat.1")
    await left
    made.session.end(1000)
    await gone
    deciding.may_answer.set()
    await arrived(deciding.asked, 2)
    assert made.session.names == ()
    assert made.client.refusals == []


async def test_who_does_not_wait_any_more_is_not_joined(made: Made, deciding: Deciding) -> None:
    deciding.may_answer.clear()
    ready = made.session.join("chat.1")
    assert ready is not None
    await arrived(deciding.asked, 1)
    ready.cancel()
    deciding.may_answer.set()
    await eventually(lambda: not made.session._joining._waiting, "the answer is there")  # type: ignore[union-attr]
    assert made.session.names == ()


async def test_when_its_time_is_over_a_denial_ends_the_subscription(
    made: Made, deciding: Deciding, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits_module, "LEAST_SECONDS", 0.2)
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    ready = made.session.join("chat.1")
    assert ready is not None
    await ready
    made.session.listen()
    await arrived(deciding.asked, 3)
    await peer.publish("chat.1", b"x")
    await arrived(made.sender.payloads, 1)
    deciding.deny(info="not any more")
    await eventually(lambda: made.client.removals, "it is told")
    assert made.client.removals == [("chat.1", "forbidden")]
    assert made.session.names == ()
    count = len(deciding.asked)
    with pytest.raises(Denied):
        made.session.join("chat.1")
    assert len(deciding.asked) == count


async def test_a_denial_ends_it_for_all_who_are_the_same_to_the_service(
    gateway: Gateway, made: Made, deciding: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits_module, "LEAST_SECONDS", 0.2)
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    others = [Made(gateway) for _ in range(3)]
    for each in (made, *others):
        ready = each.session.join("chat.1")
        if ready is not None:
            await ready
    deciding.deny(info="not any more")
    await arrived(made.client.removals, 1)
    for each in others:
        await arrived(each.client.removals, 1)
        assert each.client.removals == [("chat.1", "forbidden")]
        assert each.session.names == ()


CHATS = rights_of({"subscribe": ["chat.*"]})


def trader(said: dict[str, Any]) -> dict[str, Any]:
    return {"allow": said["claims"].get("role") == "trader", "ttl": 3600}


@pytest.mark.parametrize("known", [False, True])
async def test_who_is_refreshed_is_asked_about_as_it_is_now(gateway: Gateway, deciding: Deciding, known: bool) -> None:
    deciding.decide = trader
    gateway.rules = IdentityRules()
    before, after = (Identity("ann", CHATS, {"sub": "ann", "role": role}) for role in ("trader", "guest"))
    if known:
        ready = Made(gateway, after).session.join("chat.1")
        assert ready is not None
        await ready
    made = Made(gateway, before)
    for name in ("chat.1", "chat.2"):
        ready = made.session.join(name)
        assert ready is not None
        await ready
    await made.session.refresh(Identity("ann", CHATS, dict(before.claims)))
    assert made.session.names == ("chat.1", "chat.2")
    assert len(deciding.asked) == 2 + known  # it is the same
    await made.session.refresh(after)
    await eventually(lambda: made.session.names == (), "both are over, long before their time")
    assert sorted(made.client.removals) == [("chat.1", "forbidden"), ("chat.2", "forbidden")]
    assert len(deciding.asked) == 4
    assert gateway.permits._watches == {}


async def test_who_is_refreshed_while_it_is_asked_about_it(gateway: Gateway, deciding: Deciding) -> None:
    deciding.decide = trader
    deciding.may_answer.clear()
    gateway.rules = IdentityRules()
    made = Made(gateway, Identity("ann", CHATS, {"role": "trader"}))
    ready = made.session.join("chat.1")
    assert ready is not None
    await arrived(deciding.asked, 1)
    await made.session.refresh(Identity("ann", CHATS, {"role": "guest"}))
    deciding.may_answer.set()
    await ready
    await eventually(lambda: made.session.names == (), "it is over")
    assert [said["claims"]["role"] for said in deciding.asked] == ["trader", "guest"]


async def test_who_has_left_is_not_asked_about(gateway: Gateway, made: Made) -> None:
    other = Made(gateway)
    for each in (made, other):
        ready = each.session.join("chat.1")
        if ready is not None:
            await ready
    assert len(gateway.permits._watches) == 1
    made.session.unsubscribe("chat.1")
    assert len(gateway.permits._watches) == 1
    other.session.end(1000)
    assert not gateway.permits._watches


async def test_a_channel_that_is_another_one_by_the_answer_is_not_joined(
    gateway: Gateway, made: Made, deciding: Deciding
) -> None:
    deciding.may_answer.clear()
    ready = made.session.join("chat.1")
    assert ready is not None
    await arrived(deciding.asked, 1)
    await reload(gateway, [Channel("chat.*", Direction.BOTH)])
    deciding.may_answer.set()
    await ready
    assert made.client.refusals == [("chat.1", "channel_changed")]


async def test_a_refusal_behind_the_permission_is_told(
    gateway: Gateway, made: Made, deciding: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.bridge_of(gateway.channels.find("chat.1", Use.SUBSCRIBE)), "join", _full)
    ready = made.session.join("chat.1")
    assert ready is not None
    await ready
    assert made.client.refusals == [("chat.1", "forbidden")]
    assert made.session.names == ()
    assert not gateway.permits._watches


def _full(*_: object) -> None:
    raise GatewayError(FORBIDDEN, "no room")


async def test_what_is_kept_for_a_name_counts(gateway: Gateway, made: Made) -> None:
    ready = made.session.join("free.1")
    free = made.session.held_bytes()
    allowed = made.session.join("chat.1")
    assert ready is not None
    assert allowed is not None
    await allowed
    assert made.session.held_bytes() > 2 * free
    made.session.unsubscribe("chat.1")
    assert made.session.held_bytes() == free

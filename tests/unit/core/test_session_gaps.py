"""What a session tells its client of gaps: once, of all names that have it, and of those alone."""

from __future__ import annotations

import pytest

from helpers.session import Client, principal
from helpers.stack import Listener
from helpers.waiting import eventually
from wsgw.channels.channel import OnGap
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session


class Made:
    def __init__(self, gateway: Gateway) -> None:
        self.client = Client()
        self.session: Session = gateway.open_session(principal("ann"), self.client, Listener())

    async def join(self, *names: str) -> None:
        for name in names:
            ready = self.session.join(name)
            if ready is not None:
                await ready
        self.session.listen()


@pytest.fixture
async def made(gateway: Gateway) -> Made:
    made = Made(gateway)
    await made.join("IN", "BOTH", "chat.1")
    return made


async def test_once_for_all_names(gateway: Gateway, made: Made) -> None:
    outage = gateway.hub.outage(2)
    made.session.gapped("BOTH", outage)
    made.session.gapped("IN", outage)
    made.session.gapped("chat.1", outage)
    assert made.client.gaps == [["IN", "BOTH", "chat.1"]]
    made.session.gapped("IN", gateway.hub.outage(3))
    assert len(made.client.gaps) == 2


async def test_of_some_names_alone(gateway: Gateway, made: Made) -> None:
    made.session.gapped("chat.1", gateway.hub.new_gap(frozenset({"chat.1", "chat.2"})))
    assert made.client.gaps == [["chat.1"]]


async def test_not_of_names_that_joined_behind_it(gateway: Gateway, made: Made) -> None:
    outage = gateway.hub.outage(2)
    await made.join("chat.2")
    made.session.gapped("IN", outage)
    assert made.client.gaps == [["IN", "BOTH", "chat.1"]]


async def test_not_of_names_that_it_does_not_listen_to_or_left(gateway: Gateway, made: Made) -> None:
    made.session.join("chat.2")
    made.session.unsubscribe("BOTH")
    outage = gateway.hub.outage(2)
    made.session.gapped("BOTH", outage)
    assert made.client.gaps == []
    made.session.gapped("IN", outage)
    assert made.client.gaps == [["IN", "chat.1"]]


async def test_who_joined_while_nats_was_away_is_told(gateway: Gateway, made: Made) -> None:
    """Its interest is not in effect yet, so what comes meanwhile is missing for it, too."""
    connection = gateway.broker._connection
    assert connection is not None
    connection._lose("a test")
    await eventually(lambda: not gateway.broker.connected, "lost")
    late = Made(gateway)
    await late.join("IN", "chat.7")
    await eventually(lambda: gateway.broker.connects == 2, "connected again")
    await eventually(lambda: made.client.gaps and late.client.gaps, "told")
    await eventually(lambda: gateway.readiness().ready, "ready")
    assert made.client.gaps == [["IN", "BOTH", "chat.1"]]
    assert sorted(name for names in late.client.gaps for name in names) == ["IN", "chat.7"]


async def test_what_the_channel_wants(made: Made) -> None:
    assert made.session.on_gap("IN") is OnGap.IGNORE


async def test_of_no_name_it_is_not_told(gateway: Gateway, made: Made) -> None:
    """What it does not listen to yet may be marked all the same."""
    made.session.join("chat.2")
    made.session.gapped("chat.2", gateway.hub.new_gap(frozenset({"chat.2"})))
    assert made.client.gaps == []

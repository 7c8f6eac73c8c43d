"""Names whose interest was lost, and telling of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from helpers.fanout import CHAT, Client, Loop, Wire, publication
from wsgw.bridges.lost import Lost
from wsgw.broker.broker import Broker
from wsgw.fanout.gap import Gap
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Batch


class Session:
    def __init__(self) -> None:
        self.told: list[tuple[str, Gap]] = []

    def dropped(self, batch: Batch, count: int) -> None:
        raise NotImplementedError

    def gapped(self, name: str, gap: Gap) -> None:
        self.told.append((name, gap))


def lost(hub: Hub, connects: int = 1) -> Lost:
    return Lost(hub, cast(Broker, SimpleNamespace(connects=connects)))


def listening(hub: Hub, *names: str) -> Session:
    client, session = Client(Wire()), Session()
    client.session = session
    for name in names:
        hub.subscribe(CHAT, name, client)
    return session


def test_with_the_connection_it_is_one_gap_for_all(hub: Hub, loop: Loop) -> None:
    session = listening(hub, "chat.1", "chat.2", "chat.3")
    one, other = lost(hub), lost(hub)
    one.add(["chat.1", "chat.2"], alone=False)
    other.add(["chat.3"], alone=False)
    one.tell()
    other.tell()
    loop.tick()
    assert sorted(name for name, _ in session.told) == ["chat.1", "chat.2", "chat.3"]
    assert {gap for _, gap in session.told} == {Gap(1)}
    one.tell()
    loop.tick()
    assert len(session.told) == 3, "once"
    assert not one.names


def test_alone_it_is_of_its_names(hub: Hub, loop: Loop) -> None:
    session = listening(hub, "chat.1", "chat.2")
    made = lost(hub)
    made.add(["chat.1"], alone=True)
    made.tell()
    loop.tick()
    assert session.told == [("chat.1", Gap(1, frozenset({"chat.1"})))]
    made.add(["chat.2"], alone=True)
    made.add(["chat.1", "chat.2"], alone=False)  # the connection, too
    made.tell()
    loop.tick()
    assert {gap for _, gap in session.told[1:]} == {Gap(2)}


def test_what_is_still_lost_is_told_later(hub: Hub, loop: Loop) -> None:
    session = listening(hub, "chat.*", "chat.1")
    made = lost(hub)
    made.add(["chat.1", "chat.*"], alone=True)
    made.tell(still=["chat.*"])
    loop.tick()
    assert [name for name, _ in session.told] == ["chat.1"]
    assert [*made.names] == ["chat.*"]
    made.tell()
    loop.tick()
    assert [name for name, _ in session.told] == ["chat.1", "chat.*"]


def test_a_channel_that_is_new_is_a_gap_for_who_was_there_before(hub: Hub, loop: Loop) -> None:
    made = lost(hub)
    made.add_new(["chat.1"])
    assert hub.gaps == 1, "who comes from now on has it behind itself"
    session = listening(hub, "chat.1")
    made.tell()
    loop.tick()
    assert session.told == [("chat.1", Gap(1, frozenset({"chat.1"})))]
    assert hub.outage(1).number == 2


def test_names_of_others_are_forgotten(hub: Hub, loop: Loop) -> None:
    session = listening(hub, "chat.1", "chat.2")
    made = lost(hub)
    made.add(["chat.1", "chat.2"], alone=False)
    made.forget(["chat.2", "chat.3"])
    made.tell()
    loop.tick()
    assert [name for name, _ in session.told] == ["chat.1"]


def test_each_name_is_lost_in_its_way(hub: Hub, loop: Loop) -> None:
    session = listening(hub, "chat.*", "chat.1")
    made = lost(hub)
    made.add(["chat.1", "chat.*"], alone=False)
    made.add(["chat.*"], alone=True)  # NATS refuses it now
    made.tell()
    loop.tick()
    assert {name: gap.keys for name, gap in session.told} == {"chat.1": None, "chat.*": {"chat.*"}}


async def test_it_is_settled_when_clients_have_what_came_before(hub: Hub, loop: Loop) -> None:
    made = lost(hub)
    listening(hub, "chat.1")
    hub.publish("chat.1", publication(b"1"))
    await made.settle()  # nothing is lost
    made.add(["chat.1"], alone=False)
    waiting = asyncio.create_task(made.settle())
    await asyncio.sleep(0)
    assert not waiting.done()
    loop.tick()
    await waiting

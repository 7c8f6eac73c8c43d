"""Gaps among publications: in their place, for who was there, told in slices."""

from __future__ import annotations

import pytest

from helpers.fanout import CHAT, IN, Client, Loop, Wire, publication
from wsgw.fanout.audience import LOOK_EVERY
from wsgw.fanout.gap import Gap, GapMark
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import BATCH_BYTES, Batch

WIRE = Wire()


class Told:
    """A session that writes into its client's data what it is told."""

    def __init__(self, client: Client) -> None:
        self._client = client
        client.session = self

    def dropped(self, batch: Batch, count: int) -> None:
        raise NotImplementedError

    def gapped(self, name: str, gap: Gap) -> None:
        self._client.link.data.append(b"gap %d of %b" % (gap.number, name.encode()))


def joined(hub: Hub, name: str = "IN") -> Client:
    client = Client(WIRE)
    Told(client)
    hub.subscribe(IN if name == "IN" else CHAT, name, client)
    return client


def publish(hub: Hub, *payloads: bytes) -> None:
    for payload in payloads:
        hub.publish("IN", publication(payload))


def test_a_mark_has_no_messages() -> None:
    mark = GapMark(Gap(1))
    assert (mark.messages, mark.size) == ((), 0)


def test_between_what_came_before_and_what_comes_after(hub: Hub, loop: Loop) -> None:
    clients = [joined(hub), joined(hub)]
    publish(hub, b"1", b"2")
    hub.gap("IN", hub.outage(1))
    publish(hub, b"3")
    hub.gap("IN", hub.outage(2))
    loop.tick()
    for client in clients:
        assert client.link.data == [b"1", b"2", b"gap 1 of IN", b"3", b"gap 2 of IN"]


def test_alone(hub: Hub, loop: Loop) -> None:
    client = joined(hub)
    hub.gap("IN", hub.outage(1))
    loop.tick()
    assert client.link.data == [b"gap 1 of IN"]
    publish(hub, b"1")
    loop.tick()
    assert client.link.data == [b"gap 1 of IN", b"1"]


def test_around_a_batch_that_is_cut(hub: Hub, loop: Loop) -> None:
    client = joined(hub)
    half = b"x" * (BATCH_BYTES // 2)
    publish(hub, half, half, b"1")
    hub.gap("IN", hub.outage(1))
    publish(hub, half, half, half, b"2")
    loop.tick()
    assert client.link.data == [half, half, b"1", b"gap 1 of IN", half, half, half, b"2"]


def test_of_other_names_and_nobody(hub: Hub, loop: Loop) -> None:
    client = joined(hub, "chat.1")
    hub.gap("IN", hub.outage(1))
    hub.gap("chat.2", hub.outage(1))
    loop.tick()
    assert not client.link.data
    hub.gap("chat.1", hub.outage(1))
    loop.tick()
    assert client.link.data == [b"gap 1 of chat.1"]


def test_who_joins_behind_it_is_not_told(hub: Hub, loop: Loop) -> None:
    old = joined(hub)
    publish(hub, b"1")
    hub.gap("IN", hub.outage(1))
    new = joined(hub)
    publish(hub, b"2")
    loop.tick()
    assert old.link.data == [b"1", b"gap 1 of IN", b"2"]
    assert new.link.data == [b"2"]


def test_who_leaves_has_what_was_published(hub: Hub, loop: Loop) -> None:
    client, other = joined(hub), joined(hub)
    publish(hub, b"1")
    hub.gap("IN", hub.outage(1))
    publish(hub, b"2")
    hub.unsubscribe("IN", client)
    loop.tick()
    assert client.link.data == [b"1", b"2"]
    assert other.link.data == [b"1", b"gap 1 of IN", b"2"]


def test_many_are_told_in_slices(hub: Hub, loop: Loop) -> None:
    clients = [joined(hub) for _ in range(LOOK_EVERY + 1)]

    class Slow(Told):
        def gapped(self, name: str, gap: Gap) -> None:
            loop.now += 0.001
            super().gapped(name, gap)

    for client in clients:
        Slow(client)
    hub.gap("IN", hub.outage(1))
    publish(hub, b"1")
    loop.tick()
    assert sum(bool(client.link.data) for client in clients) == LOOK_EVERY
    left = next(client for client in clients if not client.link.data)
    hub.unsubscribe("IN", left)
    assert left.link.data == [b"1"], "who leaves has no use for it"
    while loop.callbacks:
        loop.tick()
    assert all(client.link.data == [b"gap 1 of IN", b"1"] for client in clients if client is not left)


def test_a_session_that_fails_hurts_nobody(hub: Hub, loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = joined(hub), joined(hub)

    class Bad(Told):
        def gapped(self, name: str, gap: Gap) -> None:
            raise RuntimeError("a fault")

    Bad(bad)
    hub.gap("IN", hub.outage(1))
    loop.tick()
    assert good.link.data == [b"gap 1 of IN"]
    assert "telling a client of a gap failed" in caplog.text


def test_gaps_are_numbered(hub: Hub) -> None:
    assert hub.gaps == 0
    first = hub.outage(1)
    assert hub.outage(1) is first
    alone = hub.new_gap(frozenset({"IN"}))
    assert (first.number, alone.number, hub.outage(1).number, hub.outage(2).number) == (1, 2, 1, 3)
    assert first.keys is None
    assert alone.keys == frozenset({"IN"})
    assert hub.gaps == 3


def test_when_it_is_idle(hub: Hub, loop: Loop) -> None:
    told: list[list[bytes]] = []
    assert hub.when_idle(lambda: told.append([]))
    client = joined(hub)
    publish(hub, b"1")
    assert not hub.when_idle(lambda: told.append([*client.link.data]))
    loop.tick()
    publish(hub, b"2")
    loop.tick()
    assert told == [[b"1"]]

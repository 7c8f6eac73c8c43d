"""The fan-out to many: in slices of time, with members that come, go and fail meanwhile."""

from __future__ import annotations

import gc
import math

import pytest

from helpers.fanout import CHAT, IN, Client, Loop, Upstream, Wire, publication
from helpers.metrics import value
from wsgw.fanout.audience import LOOK_EVERY, Audience
from wsgw.fanout.hub import SLICE_SECONDS, Hub
from wsgw.fanout.publication import BATCH_BYTES

WIRE = Wire()


class TestManySubscribers:
    """More of them than are served in one tick, at a millisecond each."""

    COUNT = 3 * LOOK_EVERY + 1

    @pytest.fixture
    def clients(self, hub: Hub, loop: Loop) -> list[Client]:
        def spend() -> None:
            loop.now += 0.001

        made = [Client(WIRE) for _ in range(self.COUNT)]
        for client in made:
            client.link.on_batch = spend
            hub.subscribe(IN, "IN", client)
        return made

    def served(self, clients: list[Client]) -> int:
        return sum(bool(client.batches) for client in clients)

    def test_a_tick_is_bounded(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        assert SLICE_SECONDS < LOOK_EVERY * 0.001
        ticks = []
        while loop.callbacks:
            loop.tick()
            ticks.append(self.served(clients))
        assert ticks == [LOOK_EVERY, 2 * LOOK_EVERY, 3 * LOOK_EVERY, self.COUNT]
        assert value(hub.metrics, "wsgw_deliveries_total", channel="IN", transport="websocket") == self.COUNT
        assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 1
        assert value(hub.metrics, "wsgw_delivery_latency_seconds_sum", channel="IN") == pytest.approx(loop.now - 1)

    def test_the_source_is_held_meanwhile(self, hub: Hub, loop: Loop, source: Upstream, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        assert source.told == []
        loop.tick()
        loop.tick()
        assert source.told == ["hold", "hold"]  # said every time: it may be another connection now
        loop.tick()
        loop.tick()
        assert source.told == ["hold", "hold", "hold", "release"]
        assert loop.callbacks == []

    def test_what_comes_meanwhile_is_the_next_batch(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        loop.tick()
        hub.publish("IN", publication(b"b"))
        hub.publish("IN", publication(b"c"))
        while loop.callbacks:
            loop.tick()
        assert all(client.data == [[b"a"], [b"b", b"c"]] for client in clients)

    def test_others_get_their_turn(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        other = Client(WIRE)
        hub.subscribe(CHAT, "chat.1", other)
        hub.publish("IN", publication(b"a"))
        hub.publish("chat.1", publication(b"x"))
        loop.tick()
        loop.tick()
        assert other.data == [[b"x"]]
        assert self.served(clients) < self.COUNT

    def test_who_lags_has_one_turn_among_others_however_much_comes(
        self, hub: Hub, loop: Loop, clients: list[Client]
    ) -> None:
        other = Client(WIRE)
        hub.subscribe(CHAT, "chat.1", other)
        for _ in range(4):
            hub.publish("IN", publication(b"a"))
            loop.tick()
        hub.publish("chat.1", publication(b"x"))
        loop.tick()
        loop.tick()
        assert other.data == [[b"x"]]

    def test_those_who_come_and_go_meanwhile(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        loop.tick()
        hub.publish("IN", publication(b"b"))
        served = next(client for client in clients if client.batches)
        waiting = next(client for client in clients if not client.batches)
        new, brief = Client(WIRE), Client(WIRE)
        for client in (new, brief):
            hub.subscribe(IN, "IN", client)
        hub.publish("IN", publication(b"c"))
        for client in (served, waiting, brief):
            hub.unsubscribe("IN", client)
        assert served.data == waiting.data == [[b"a"], [b"b", b"c"]]
        assert brief.data == [[b"c"]]
        hub.publish("IN", publication(b"d"))
        while loop.callbacks:
            loop.tick()
        assert new.data == [[b"c", b"d"]]
        assert served.data == waiting.data == [[b"a"], [b"b", b"c"]]
        others = [client for client in clients if client not in (served, waiting)]
        assert all(client.data == [[b"a"], [b"b", b"c", b"d"]] for client in others)

    def test_all_at_once_where_that_is_wanted(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        hub.flush(math.inf)
        assert self.served(clients) == self.COUNT
        loop.tick()
        assert all(client.data == [[b"a"]] for client in clients)


def test_many_publications_are_many_looks_at_the_clock(hub: Hub, loop: Loop) -> None:
    def spend() -> None:
        loop.now += 0.001

    clients = [Client(WIRE) for _ in range(20)]
    for client in clients:
        client.link.on_batch = spend
        hub.subscribe(IN, "IN", client)
    for _ in range(LOOK_EVERY):
        hub.publish("IN", publication(b"a"))
    loop.tick()
    assert sum(bool(client.batches) for client in clients) == pytest.approx(SLICE_SECONDS / 0.001, abs=1)


def test_a_group_that_fails_does_not_stop_the_others(
    hub: Hub, loop: Loop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Client(WIRE), Client(WIRE)
    hub.subscribe(IN, "IN", bad)
    hub.subscribe(CHAT, "chat.1", good)
    failing = hub._audiences["IN"][0]
    flush = Audience.flush

    def fail(audience: Audience, until: float) -> bool:
        if audience is failing:
            raise ZeroDivisionError
        return flush(audience, until)

    monkeypatch.setattr(Audience, "flush", fail)
    for payload in (b"a", b"b"):
        hub.publish("IN", publication(payload))
        hub.publish("chat.1", publication(payload))
        loop.tick()
    assert good.data == [[b"a"], [b"b"]]
    assert caplog.text.count("the fan-out failed") == 2
    monkeypatch.undo()
    hub.publish("IN", publication(b"c"))
    loop.tick()
    assert bad.data == [[b"a", b"b", b"c"]]


def test_who_is_gone_gets_nothing_more(hub: Hub, loop: Loop) -> None:
    client = Client(WIRE)
    hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    client.close()
    hub.unsubscribe("IN", client)
    assert client.data == []


def test_the_last_one_leaving_ends_the_batch(hub: Hub, loop: Loop) -> None:
    def spend() -> None:
        loop.now += 1

    clients = [Client(WIRE) for _ in range(LOOK_EVERY + 1)]
    for client in clients:
        client.link.on_batch = spend
        hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    loop.tick()
    (last,) = [client for client in clients if not client.batches]
    hub.unsubscribe("IN", last)
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 1
    loop.tick()
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 1


def test_the_last_one_leaving_is_the_only_one_written_to(hub: Hub, loop: Loop) -> None:
    clients = [Client(WIRE) for _ in range(LOOK_EVERY + 1)]
    for client in clients:
        client.link.pause()
        hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    assert not hub._audiences["IN"][0].flush(loop.now)
    (last,) = [client for client in clients if not len(client)]
    last.link.resume()
    hub.unsubscribe("IN", last)
    assert last.data == [[b"a"]]
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 1


def test_one_that_is_larger_than_a_batch(hub: Hub, loop: Loop) -> None:
    client = Client(WIRE)
    hub.subscribe(IN, "IN", client)
    for payload in (b"x" * (BATCH_BYTES + 1), b"b"):
        hub.publish("IN", publication(payload))
        loop.tick()
    assert client.data == [[b"x" * (BATCH_BYTES + 1)], [b"b"]]


def test_a_late_subscriber_and_a_batch_that_is_cut(hub: Hub, loop: Loop) -> None:
    old, new = Client(WIRE), Client(WIRE)
    half = b"x" * (BATCH_BYTES // 2)
    hub.subscribe(IN, "IN", old)
    for payload in (half, half, b"a"):
        hub.publish("IN", publication(payload))
    hub.subscribe(IN, "IN", new)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert old.data == [[half, half], [b"a", b"b"]]
    assert new.data == [[b"b"]]


def test_one_clients_fault_is_not_anothers(hub: Hub, loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    clients = [Client(WIRE) for _ in range(3)]
    for client in clients:
        hub.subscribe(IN, "IN", client)
    clients[1].link.on_batch = fail
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert [len(client.batches) for client in clients] == [1, 1, 1]
    assert "writing to a client failed" in caplog.text


def test_a_batch_is_not_kept(hub: Hub, loop: Loop) -> None:
    """Ten thousand names would keep megabytes."""
    client = Client(WIRE)
    hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    loop.tick()
    (batch,) = client.batches
    client.batches.clear()
    assert not [kept for kept in gc.get_referents(hub._audiences["IN"][0]) if kept is batch]


def test_a_member_that_is_served_makes_others_leave(hub: Hub, loop: Loop) -> None:
    """Late ones among them: each gets what came while it was a member, and nobody waits for ever."""
    wire = Wire()
    old, late, later = Client(wire), Client(wire), Client(wire)
    hub.subscribe(IN, "IN", old)
    hub.publish("IN", publication(b"1"))
    for client in (late, later):
        hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"2"))

    def leave() -> None:
        for client in (old, late, later):
            client.link.on_batch = lambda: None
        hub.publish("IN", publication(b"3"))
        gone = late if later.batches else later
        hub.unsubscribe("IN", gone)
        hub.unsubscribe("IN", old)

    late.link.on_batch = later.link.on_batch = leave
    while loop.callbacks:
        loop.tick()
    assert (old.data, late.data, later.data) == ([[b"1", b"2"], [b"3"]], [[b"2"], [b"3"]], [[b"2"], [b"3"]])

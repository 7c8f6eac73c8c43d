"""The fan-out: what is encoded how often, who gets it, in which batches."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from wsgw.channels import Channel, Direction
from wsgw.frames import Message
from wsgw.group import BATCH_BYTES, LOOK_EVERY
from wsgw.hub import SLICE_SECONDS, Hub
from wsgw.metrics import Metrics
from wsgw.outbox import OutboxTotals
from wsgw.publication import Batch, Encoded, Publication
from wsgw.sender import Sender
from wsgw.turn import Turn

IN = Channel("IN", Direction.INBOUND)
CHAT = Channel("chat.*", Direction.BOTH)


class Wire:
    def __init__(self, transport: str = "websocket") -> None:
        self.transport = transport
        self.encoded: list[tuple[str, bytes]] = []

    def encode(self, name: str, publication: Publication) -> Encoded:
        self.encoded.append((name, publication.payload))
        return Encoded(Message(True, publication.payload))


class Client(Sender):
    """A sender that writes down the batches; it is paused while ``takes`` is false."""

    __slots__ = ("batches", "on_batch", "takes")

    def __init__(self) -> None:
        super().__init__(Metrics(), OutboxTotals(), "websocket")
        self.batches: list[Batch] = []
        self.takes = True
        self.on_batch: Callable[[], None] = lambda: None

    def offer(self, batch: Batch) -> bool:
        self.batches.append(batch)
        self.on_batch()
        return self.takes

    @property
    def data(self) -> list[list[bytes]]:
        return [[item.messages[0].data for item in batch.items] for batch in self.batches]


class Loop:
    """Time, and callbacks that run when the tick ends."""

    def __init__(self) -> None:
        self.now = 1.0
        self.callbacks: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def clock(self) -> float:
        return self.now

    def tick(self) -> None:
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Source:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def hub(loop: Loop, source: Source) -> Hub:
    return Hub(Metrics(), Turn(loop.call_soon), loop.clock, source)


def publication(payload: bytes, at: float = 1.0) -> Publication:
    return Publication("x", payload, at)


def test_encoded_once_per_wire_and_shared(hub: Hub, loop: Loop) -> None:
    text, other = Wire(), Wire("socketio")
    clients = [Client() for _ in range(3)]
    for client in clients[:2]:
        hub.subscribe(IN, "IN", text, client)
    hub.subscribe(IN, "IN", other, clients[2])
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert text.encoded == other.encoded == [("IN", b"a")]
    assert clients[0].batches[0] is clients[1].batches[0]
    assert clients[0].batches[0] is not clients[2].batches[0]
    assert clients[0].batches[0].channel is IN


def test_one_batch_a_tick(hub: Hub, loop: Loop) -> None:
    client = Client()
    hub.subscribe(IN, "IN", Wire(), client)
    hub.publish("IN", publication(b"a"))
    hub.publish("IN", publication(b"b"))
    assert client.data == []
    assert len(loop.callbacks) == 1
    loop.tick()
    hub.publish("IN", publication(b"c"))
    loop.tick()
    loop.tick()
    assert client.data == [[b"a", b"b"], [b"c"]]


def test_a_batch_is_capped(hub: Hub, loop: Loop) -> None:
    client = Client()
    hub.subscribe(IN, "IN", Wire(), client)
    half = b"x" * (BATCH_BYTES // 2)
    for payload in (half, half, b"tail", half * 3, b"end"):
        hub.publish("IN", publication(payload))
    loop.tick()
    assert client.data == [[half, half], [b"tail"], [half * 3], [b"end"]]


def test_nobody_is_there(hub: Hub, loop: Loop) -> None:
    hub.publish("IN", publication(b"a"))
    assert loop.callbacks == []
    assert not hub.has("IN")


def test_names_are_apart(hub: Hub, loop: Loop) -> None:
    wire, one, two, every = Wire(), Client(), Client(), Client()
    hub.subscribe(CHAT, "chat.1", wire, one)
    hub.subscribe(CHAT, "chat.2", wire, two)
    hub.subscribe(CHAT, "chat.*", wire, every)
    hub.publish("chat.1", publication(b"a"))
    hub.publish("chat.*", publication(b"a"))
    loop.tick()
    assert (one.data, two.data, every.data) == ([[b"a"]], [], [[b"a"]])
    assert wire.encoded == [("chat.1", b"a"), ("chat.*", b"a")]


def test_what_came_before_a_subscription_is_not_for_it(hub: Hub, loop: Loop) -> None:
    wire, old, new = Wire(), Client(), Client()
    hub.subscribe(IN, "IN", wire, old)
    hub.publish("IN", publication(b"a"))
    hub.subscribe(IN, "IN", wire, new)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert old.data == [[b"a", b"b"]]
    assert new.data == [[b"b"]]


def test_what_came_before_the_end_is(hub: Hub, loop: Loop) -> None:
    wire, client = Wire(), Client()
    hub.subscribe(IN, "IN", wire, client)
    hub.publish("IN", publication(b"a"))
    hub.unsubscribe("IN", wire, client)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert client.data == [[b"a"]]
    assert not hub.has("IN")


def test_a_group_goes_with_its_last_member(hub: Hub, loop: Loop) -> None:
    first, second = Wire(), Wire()
    one, two = Client(), Client()
    hub.subscribe(IN, "IN", first, one)
    hub.subscribe(IN, "IN", second, two)
    hub.unsubscribe("IN", first, one)
    assert hub.has("IN")
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert first.encoded == []
    assert two.data == [[b"a"]]
    hub.unsubscribe("IN", second, two)
    assert not hub.has("IN")


def test_flush_hands_it_over_now(hub: Hub, loop: Loop) -> None:
    client = Client()
    hub.subscribe(IN, "IN", Wire(), client)
    hub.publish("IN", publication(b"a"))
    hub.flush()
    assert client.data == [[b"a"]]
    hub.publish("IN", publication(b"b"))
    loop.tick()
    loop.tick()
    assert client.data == [[b"a"], [b"b"]]


def test_members_may_change_while_a_batch_goes_out(hub: Hub, loop: Loop) -> None:
    """A write may fail and end a session, whose end unsubscribes it."""
    wire = Wire()
    clients = [Client() for _ in range(4)]
    late = Client()
    for client in clients:
        hub.subscribe(IN, "IN", wire, client)

    def change() -> None:
        clients[3].on_batch = lambda: None
        hub.unsubscribe("IN", wire, clients[2])
        hub.subscribe(IN, "IN", wire, late)
        hub.publish("IN", publication(b"b"))

    clients[3].on_batch = change  # the first to be served
    hub.publish("IN", publication(b"a"))
    loop.tick()
    loop.tick()
    assert clients[0].data == clients[1].data == clients[3].data == [[b"a"], [b"b"]]
    assert late.data == [[b"b"]]
    assert clients[2].data == [[b"a"]]


def test_counted_per_tick(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    clients = [Client() for _ in range(3)]
    for client in clients:
        hub.subscribe(IN, "IN", wire, client)
    clients[2].takes = False  # its sender counts when it flushes
    hub.publish("IN", publication(b"abc", at=0.5))
    hub.publish("IN", publication(b"d", at=0.9))
    loop.now = 1.5
    loop.tick()
    value = hub.metrics.value
    assert value("wsgw_deliveries_total", channel="IN", transport="websocket") == 4
    assert value("wsgw_delivered_bytes_total", channel="IN") == 8
    assert value("wsgw_delivery_latency_seconds_count", channel="IN") == 1
    assert value("wsgw_delivery_latency_seconds_sum", channel="IN") == 1.0
    assert value("wsgw_subscriptions", channel="IN") == 3
    for client in clients:
        hub.unsubscribe("IN", wire, client)
    assert value("wsgw_subscriptions", channel="IN") == 0


class TestManySubscribers:
    """More of them than are served in one tick, at a millisecond each."""

    COUNT = 3 * LOOK_EVERY + 1

    @pytest.fixture
    def clients(self, hub: Hub, loop: Loop) -> list[Client]:
        def spend() -> None:
            loop.now += 0.001

        made = [Client() for _ in range(self.COUNT)]
        for client in made:
            client.on_batch = spend
            hub.subscribe(IN, "IN", self.WIRE, client)
        return made

    WIRE = Wire()

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
        assert hub.metrics.value("wsgw_deliveries_total", channel="IN", transport="websocket") == self.COUNT
        assert hub.metrics.value("wsgw_delivery_latency_seconds_count", channel="IN") == 1
        assert hub.metrics.value("wsgw_delivery_latency_seconds_sum", channel="IN") == pytest.approx(loop.now - 1)

    def test_the_source_is_held_meanwhile(self, hub: Hub, loop: Loop, source: Source, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        assert source.told == []
        loop.tick()
        loop.tick()
        assert source.told == ["hold"]
        loop.tick()
        loop.tick()
        assert source.told == ["hold", "release"]
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
        other = Client()
        hub.subscribe(CHAT, "chat.1", self.WIRE, other)
        hub.publish("IN", publication(b"a"))
        hub.publish("chat.1", publication(b"x"))
        loop.tick()
        loop.tick()
        assert other.data == [[b"x"]]
        assert self.served(clients) < self.COUNT

    def test_those_who_come_and_go_meanwhile(self, hub: Hub, loop: Loop, clients: list[Client]) -> None:
        hub.publish("IN", publication(b"a"))
        loop.tick()
        hub.publish("IN", publication(b"b"))
        served = next(client for client in clients if client.batches)
        waiting = next(client for client in clients if not client.batches)
        new, brief = Client(), Client()
        for client in (new, brief):
            hub.subscribe(IN, "IN", self.WIRE, client)
        hub.publish("IN", publication(b"c"))
        for client in (served, waiting, brief):
            hub.unsubscribe("IN", self.WIRE, client)
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


def test_a_late_subscriber_and_a_batch_that_is_cut(hub: Hub, loop: Loop) -> None:
    wire, old, new = Wire(), Client(), Client()
    half = b"x" * (BATCH_BYTES // 2)
    hub.subscribe(IN, "IN", wire, old)
    for payload in (half, half, b"a"):
        hub.publish("IN", publication(payload))
    hub.subscribe(IN, "IN", wire, new)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert old.data == [[half, half], [b"a", b"b"]]
    assert new.data == [[b"b"]]


def test_one_clients_fault_is_not_anothers(hub: Hub, loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    wire = Wire()
    clients = [Client() for _ in range(3)]
    for client in clients:
        hub.subscribe(IN, "IN", wire, client)
    clients[1].on_batch = fail
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert [len(client.batches) for client in clients] == [1, 1, 1]
    assert "writing to a client failed" in caplog.text

"""The fan-out: what is encoded how often, who gets it, in which batches."""

from __future__ import annotations

from dataclasses import replace

from helpers.fanout import CHAT, IN, Client, Loop, Upstream, Wire, no_overflow, publication
from helpers.metrics import value
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import BATCH_BYTES
from wsgw.fanout.sender import Sender


def anybody_gets(hub: Hub, loop: Loop, name: str) -> bool:
    """Whether a publication to ``name`` is kept for somebody."""
    hub.publish(name, publication(b"for anybody"))
    kept = bool(loop.callbacks)
    loop.tick()
    return kept


def test_encoded_once_per_wire_and_shared(hub: Hub, loop: Loop) -> None:
    text, other = Wire(), Wire("socketio")
    clients = [Client(text), Client(text), Client(other)]
    for client in clients:
        hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert text.encoded == other.encoded == [("IN", b"a")]
    assert clients[0].batches[0] is clients[1].batches[0]
    assert clients[0].batches[0] is not clients[2].batches[0]
    assert clients[0].batches[0].deliveries.channel is IN
    assert clients[0].batches[0].name == "IN"


def test_one_batch_a_tick(hub: Hub, loop: Loop) -> None:
    client = Client()
    hub.subscribe(IN, "IN", client)
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
    hub.subscribe(IN, "IN", client)
    half = b"x" * (BATCH_BYTES // 2)
    for payload in (half, half, b"tail", half * 3, b"end"):
        hub.publish("IN", publication(payload))
    loop.tick()
    assert client.data == [[half, half], [b"tail"], [half * 3], [b"end"]]


def test_nobody_is_there(hub: Hub, loop: Loop) -> None:
    hub.publish("IN", publication(b"a"))
    assert loop.callbacks == []


def test_names_are_apart(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    one, two, every = Client(wire), Client(wire), Client(wire)
    hub.subscribe(CHAT, "chat.1", one)
    hub.subscribe(CHAT, "chat.2", two)
    hub.subscribe(CHAT, "chat.*", every)
    hub.publish("chat.1", publication(b"a"))
    hub.publish("chat.*", publication(b"a"))
    loop.tick()
    assert (one.data, two.data, every.data) == ([[b"a"]], [], [[b"a"]])
    assert wire.encoded == [("chat.1", b"a"), ("chat.*", b"a")]


def test_what_came_before_a_subscription_is_not_for_it(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    old, new = Client(wire), Client(wire)
    hub.subscribe(IN, "IN", old)
    hub.publish("IN", publication(b"a"))
    hub.subscribe(IN, "IN", new)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert old.data == [[b"a", b"b"]]
    assert new.data == [[b"b"]]


def test_what_came_before_the_end_is(hub: Hub, loop: Loop) -> None:
    client = Client()
    hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    hub.unsubscribe("IN", client)
    hub.publish("IN", publication(b"b"))
    loop.tick()
    assert client.data == [[b"a"]]
    assert not anybody_gets(hub, loop, "IN")


def test_a_group_goes_with_its_last_member(hub: Hub, loop: Loop) -> None:
    first, second = Wire(), Wire()
    one, two = Client(first), Client(second)
    hub.subscribe(IN, "IN", one)
    hub.subscribe(IN, "IN", two)
    hub.unsubscribe("IN", one)
    hub.publish("IN", publication(b"a"))
    loop.tick()
    assert first.encoded == []
    assert two.data == [[b"a"]]
    hub.unsubscribe("IN", two)
    assert second.encoded == [("IN", b"a")]
    assert not anybody_gets(hub, loop, "IN")


def test_flush_hands_it_over_now(hub: Hub, loop: Loop, source: Upstream) -> None:
    client = Client()
    hub.subscribe(IN, "IN", client)
    hub.publish("IN", publication(b"a"))
    hub.flush()
    assert client.data == [[b"a"]]
    hub.publish("IN", publication(b"b"))
    loop.tick()
    loop.tick()
    assert client.data == [[b"a"], [b"b"]]
    assert source.told == [], "the source was not held, and has nothing to undo"


def test_what_is_told_next_comes_behind_it(hub: Hub, loop: Loop) -> None:
    client, other = Client(), Client(Wire("socketio"))
    hub.subscribe(IN, "IN", client)
    hub.subscribe(IN, "IN", other)
    hub.settle("IN")
    hub.publish("IN", publication(b"x" * BATCH_BYTES))
    hub.publish("IN", publication(b"b"))
    hub.settle("OTHER")
    assert not client.data
    hub.settle("IN")
    assert [len(batch) for batch in client.data] == [1, 1], "all of it"
    assert client.data == other.data
    loop.tick()
    assert len(client.data) == 2


def test_members_may_change_while_a_batch_goes_out(hub: Hub, loop: Loop) -> None:
    """A write may fail and end a session, whose end unsubscribes it."""
    wire = Wire()
    clients = [Client(wire) for _ in range(4)]
    late = Client(wire)
    for client in clients:
        hub.subscribe(IN, "IN", client)

    def change() -> None:
        clients[3].link.on_batch = lambda: None
        hub.unsubscribe("IN", clients[2])
        hub.subscribe(IN, "IN", late)
        hub.publish("IN", publication(b"b"))

    clients[3].link.on_batch = change  # the first to be served
    hub.publish("IN", publication(b"a"))
    loop.tick()
    loop.tick()
    assert clients[0].data == clients[1].data == clients[3].data == [[b"a"], [b"b"]]
    assert late.data == [[b"b"]]
    assert clients[2].data == [[b"a"]]


def test_counted_per_tick(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    clients = [Client(wire) for _ in range(3)]
    for client in clients:
        hub.subscribe(IN, "IN", client)
    clients[2].link.pause()  # its sender counts when it flushes
    hub.publish("IN", publication(b"abc", at=0.5))
    hub.publish("IN", publication(b"d", at=0.9))
    loop.now = 1.5
    loop.tick()
    assert value(hub.metrics, "wsgw_deliveries_total", channel="IN", transport="websocket") == 4
    assert value(hub.metrics, "wsgw_delivered_bytes_total", channel="IN") == 8
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 1
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_sum", channel="IN") == 1.0
    assert value(hub.metrics, "wsgw_subscriptions", channel="IN") == 3
    for client in clients:
        hub.unsubscribe("IN", client)
    assert value(hub.metrics, "wsgw_subscriptions", channel="IN") == 0


def test_a_channel_with_other_options(hub: Hub, loop: Loop) -> None:
    """They are those of what waits already, too, and of what was made for clients who came back."""
    wire = Wire()
    sender = Sender(wire, OutboxTotals(), no_overflow)
    hub.subscribe(IN, "IN", sender)
    hub.subscribe(CHAT, "chat.1", sender)
    for payload in (b"1", b"2", b"3"):
        hub.publish("IN", publication(payload))
        hub.publish("chat.1", publication(payload))
    loop.tick()
    small = replace(IN, outbox_messages=2)
    hub.change({"IN": small})
    hub.publish("IN", publication(b"4"))
    hub.publish("chat.1", publication(b"4"))
    loop.tick()
    waiting = [item.messages[0].data for item in sender.take(100, 100)]
    assert sorted(waiting) == sorted([b"3", b"4", b"1", b"2", b"3", b"4"])
    assert hub._audiences["IN"][0].deliveries.channel is small


def test_a_name_that_belongs_to_another_channel_by_now(hub: Hub, loop: Loop) -> None:
    """Who is still to leave the old one is counted there, who comes in the new one."""
    wire = Wire()
    before, after = Client(wire), Client(wire)
    vip = Channel("chat.1", Direction.INBOUND)
    hub.subscribe(CHAT, "chat.1", before)
    hub.subscribe(vip, "chat.1", after)
    assert value(hub.metrics, "wsgw_subscriptions", channel="chat.*") == 1
    assert value(hub.metrics, "wsgw_subscriptions", channel="chat.1") == 1
    hub.unsubscribe("chat.1", before)
    hub.subscribe(vip, "chat.1", before)
    hub.publish("chat.1", publication(b"x"))
    loop.tick()
    assert before.data == after.data == [[b"x"]]
    assert value(hub.metrics, "wsgw_subscriptions", channel="chat.*") == 0
    assert value(hub.metrics, "wsgw_subscriptions", channel="chat.1") == 2
    hub.unsubscribe("chat.1", after)
    hub.unsubscribe("chat.1", before)
    assert not anybody_gets(hub, loop, "chat.1")

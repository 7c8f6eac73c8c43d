"""What is counted of deliveries: each once, whichever way it took, in the series of channel and transport."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fanout import CHAT, IN, Client, Loop, Wire, no_overflow, publication
from helpers.metrics import value
from wsgw.channels.channel import Channel, Direction, Payload, SlowConsumer
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.hub import Hub
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.sender import Sender
from wsgw.metrics import Metrics

SMALL = Channel("SMALL", Direction.INBOUND, outbox_messages=2)


def delivered(metrics: Metrics, channel: str, transport: str) -> float:
    return value(metrics, "wsgw_deliveries_total", channel=channel, transport=transport)


def delivered_bytes(metrics: Metrics, channel: str) -> float:
    return value(metrics, "wsgw_delivered_bytes_total", channel=channel)


def dropped(metrics: Metrics, channel: str) -> float:
    return value(metrics, "wsgw_dropped_messages_total", channel=channel, policy="drop_oldest")


def test_report() -> None:
    metrics = Metrics()
    one, other = Deliveries(IN, "websocket", metrics), Deliveries(IN, "socketio", metrics)
    for counted, messages in ((one, 2), (other, 5)):
        counted.messages += messages
        counted.bytes += 10 * messages
        counted.dropped += 1
    assert delivered(metrics, "IN", "websocket") == 0
    for _ in range(2):  # what was reported is not reported again
        one.report()
        other.report()
        assert (one.messages, one.bytes, one.dropped) == (0, 0, 0)
    assert (delivered(metrics, "IN", "websocket"), delivered(metrics, "IN", "socketio")) == (2, 5)
    assert (delivered_bytes(metrics, "IN"), dropped(metrics, "IN")) == (70, 2)


def test_both_ways_are_counted_together(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    at_once, waiting = Client(wire), Sender(wire, OutboxTotals(), no_overflow)
    for sender in (at_once, waiting):
        hub.subscribe(SMALL, "SMALL", sender)
    for payload in (b"a", b"b", b"cd"):
        hub.publish("SMALL", publication(payload))
    loop.tick()
    assert (delivered(hub.metrics, "SMALL", "websocket"), delivered_bytes(hub.metrics, "SMALL")) == (3, 4)
    assert dropped(hub.metrics, "SMALL") == 1
    assert len(waiting.take(10, 10)) == 2
    assert (delivered(hub.metrics, "SMALL", "websocket"), delivered_bytes(hub.metrics, "SMALL")) == (5, 7)
    assert dropped(hub.metrics, "SMALL") == 1


def test_what_a_client_that_went_did_not_take_is_not_delivered(hub: Hub, loop: Loop) -> None:
    sender = Sender(Wire(), OutboxTotals(), no_overflow)
    hub.subscribe(IN, "IN", sender)
    hub.publish("IN", publication(b"a"))
    loop.tick()
    hub.unsubscribe("IN", sender)
    sender.close()
    assert delivered(hub.metrics, "IN", "websocket") == 0
    assert dropped(hub.metrics, "IN") == 0


def test_names_of_a_pattern_are_its_own(hub: Hub, loop: Loop) -> None:
    wire = Wire()
    for name in ("chat.1", "chat.2"):
        hub.subscribe(CHAT, name, Client(wire))
        hub.publish(name, publication(b"x"))
    loop.tick()
    assert delivered(hub.metrics, "chat.*", "websocket") == 2
    assert value(hub.metrics, "wsgw_subscriptions", channel="chat.*") == 2


@pytest.mark.parametrize("transport", ["websocket", "socketio"])
def test_they_stay_when_the_last_client_has_gone(hub: Hub, loop: Loop, transport: str) -> None:
    client = Client(Wire(transport))
    for _ in range(2):
        hub.subscribe(IN, "IN", client)
        hub.publish("IN", publication(b"x"))
        loop.tick()
        hub.unsubscribe("IN", client)
    assert delivered(hub.metrics, "IN", transport) == 2
    assert value(hub.metrics, "wsgw_subscriptions", channel="IN") == 0
    assert value(hub.metrics, "wsgw_delivery_latency_seconds_count", channel="IN") == 2


def test_two_wires_of_one_transport(hub: Hub, loop: Loop) -> None:
    for _ in range(2):
        hub.subscribe(IN, "IN", Client(Wire()))
    hub.publish("IN", publication(b"x"))
    loop.tick()
    assert delivered(hub.metrics, "IN", "websocket") == 2
    assert delivered_bytes(hub.metrics, "IN") == 2


def test_a_channel_with_other_options() -> None:
    """What was counted before is counted as it was then."""
    metrics = Metrics()
    made = Deliveries(SMALL, "websocket", metrics)
    made.dropped += 2
    other = replace(SMALL, slow_consumer=SlowConsumer.DISCONNECT, payload=Payload.JSON)
    made.change(other)
    assert made.channel is other
    assert made.wants_json
    assert dropped(metrics, "SMALL") == 2
    made.dropped += 1
    made.not_json += 1
    made.report()
    assert dropped(metrics, "SMALL") == 2
    assert value(metrics, "wsgw_dropped_messages_total", channel="SMALL", policy="disconnect") == 1
    assert value(metrics, "wsgw_not_json_messages_total", channel="SMALL") == 1

"""Series are there before anything is counted in them."""

from __future__ import annotations

import pytest

from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.channels.durable import Durable
from wsgw.channels.hemera import Action
from wsgw.channels.table import ChannelTable
from wsgw.core import series
from wsgw.errors import CLOSE_CODES, KINDS
from wsgw.metrics import TABLE, Metrics
from wsgw.protocols.engineio.packets import REQUEST_ERRORS


@pytest.fixture
def text() -> str:
    metrics = Metrics()
    channels = [
        Channel("IN", Direction.INBOUND),
        Channel("OUT", Direction.OUTBOUND),
        Channel("BOTH", Direction.BOTH),
        Channel("chat.*", Direction.BOTH),
        Channel("SUM", Direction.REQUEST),
        Channel("math.*", Direction.REQUEST),
        Channel("news.*", Direction.INBOUND),
    ]
    series.make(metrics, ChannelTable(channels))
    return metrics.exposition().decode()


def test_of_every_metric(text: str) -> None:
    for spec in TABLE:
        assert f"# HELP {spec.name}" in text


def test_of_what_comes_from_nats(text: str) -> None:
    for channel in ("IN", "BOTH", "chat.*", "news.*"):
        for name in (
            "nats_messages_total",
            "delivered_bytes_total",
            "gaps_total",
            "subscriptions",
            "delivery_latency_seconds_count",
        ):
            assert f'wsgw_{name}{{channel="{channel}"}} 0.0' in text
        assert f'wsgw_dropped_messages_total{{channel="{channel}",policy="drop_oldest"}} 0.0' in text
        for transport in ("websocket", "socketio"):
            assert f'wsgw_deliveries_total{{channel="{channel}",transport="{transport}"}} 0.0' in text
    for channel in ("OUT", "SUM", "math.*"):
        assert f'wsgw_nats_messages_total{{channel="{channel}"}}' not in text


def test_of_what_clients_send(text: str) -> None:
    for transport in ("websocket", "socketio", "http"):
        assert f'wsgw_published_messages_total{{channel="OUT",transport="{transport}"}} 0.0' in text
    assert 'wsgw_publish_seconds_count{channel="OUT"} 0.0' in text
    assert 'wsgw_publish_seconds_count{channel="SUM"}' not in text
    assert 'wsgw_request_seconds_count{channel="SUM"} 0.0' in text
    assert 'wsgw_request_seconds_count{channel="OUT"}' not in text


@pytest.mark.parametrize(
    ("channel", "reasons"),
    [
        ("IN", ["wrong_direction"]),
        ("OUT", ["forbidden", "nats_unavailable", "overloaded", "too_large", "unconfirmed", "wrong_direction"]),
        ("SUM", ["no_responders", "service_error", "timeout", "unconfirmed"]),
        ("chat.*", ["unknown_channel"]),
        ("math.*", ["unknown_channel"]),
        ("", ["unknown_channel"]),
    ],
)
def test_of_why_it_can_fail(text: str, channel: str, reasons: list[str]) -> None:
    for reason in reasons:
        assert f'wsgw_publish_errors_total{{channel="{channel}",reason="{reason}"}} 0.0' in text
    assert 'wsgw_publish_errors_total{channel="news.*",reason="unknown_channel"}' not in text


def test_of_clients(text: str) -> None:
    for transport in ("websocket", "socketio"):
        assert f'wsgw_connections{{transport="{transport}"}} 0.0' in text
    for code in (*CLOSE_CODES, "other"):
        assert f'wsgw_closes_total{{code="{code}"}} 0.0' in text
    for reason in (*(kind.name for kind in KINDS), *(refusal.reason for refusal in REQUEST_ERRORS)):
        assert f'wsgw_rejected_total{{reason="{reason}"}} 0.0' in text


def test_of_why_it_can_not_be_stored() -> None:
    metrics = Metrics()
    durable = Durable("S")
    channels = [
        Channel("D", Direction.OUTBOUND, slow_consumer=SlowConsumer.DISCONNECT, durable=durable),
        Channel("IN", Direction.INBOUND, slow_consumer=SlowConsumer.DISCONNECT, durable=durable),
        Channel("OUT", Direction.OUTBOUND),
    ]
    series.make(metrics, ChannelTable(channels))
    text = metrics.exposition().decode()
    for reason in ("bad_request", "maybe_stored", "not_stored", "stream_full"):
        assert f'wsgw_publish_errors_total{{channel="D",reason="{reason}"}} 0.0' in text
        for channel in ("IN", "OUT"):
            assert f'wsgw_publish_errors_total{{channel="{channel}",reason="{reason}"}}' not in text


def test_of_who_decides() -> None:
    metrics = Metrics()
    directions = {"IN": Direction.INBOUND, "OUT": Direction.OUTBOUND, "ASK": Direction.REQUEST}
    channels = [Channel(name, direction, authorize=Authorize("a")) for name, direction in directions.items()]
    series.make(metrics, ChannelTable([*channels, Channel("FREE", Direction.OUTBOUND)]))
    text = metrics.exposition().decode()
    there = [
        f'wsgw_publish_errors_total{{channel="{name}",reason="auth_unavailable"}} 0.0' in text
        for name in (*directions, "FREE")
    ]
    assert there == [False, True, True, False]


def test_of_what_cannot_be_wrapped() -> None:
    metrics = Metrics()
    directions = {"IN": Direction.INBOUND, "OUT": Direction.OUTBOUND, "ASK": Direction.REQUEST}
    channels = [Channel(name, direction, hemera=Action(name)) for name, direction in directions.items()]
    series.make(metrics, ChannelTable(channels))
    text = metrics.exposition().decode()
    there = [f'wsgw_publish_errors_total{{channel="{name}",reason="bad_request"}} 0.0' in text for name in directions]
    assert there == [False, True, True]


def test_what_is_read_of_a_bridge_goes_with_it() -> None:
    metrics = Metrics()
    channel = Channel("chat.*", Direction.BOTH)
    series.make_of(metrics, channel)
    metrics.nats_messages.labels("chat.*").inc(3)
    for gauge in (metrics.subjects, metrics.ring_messages, metrics.ring_bytes, metrics.stream_lag_messages):
        gauge.labels("chat.*").set_function(lambda: 1)
    metrics.subjects_limit.labels("chat.*").set(5)
    for _ in range(2):  # harmless when repeated
        series.forget(metrics, channel)
    text = metrics.exposition().decode()
    for name in ("subjects", "subjects_limit", "ring_messages", "ring_bytes", "stream_lag_messages"):
        assert f"wsgw_{name}{{" not in text
    assert 'wsgw_nats_messages_total{channel="chat.*"} 3.0' in text


def test_of_configurations_read_again(text: str) -> None:
    for result in ("success", "failure"):
        assert f'wsgw_config_reloads_total{{result="{result}"}} 0.0' in text

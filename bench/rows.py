"""What is measured: one row for each line of the target table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bench.measure import fan_in, fan_out, idle, latency, paced, requests, stalled
from bench.running import Values
from bench.systems import System

SIZE = 128
LARGE = 16 * 1024
#: The outbox of the row with stalled clients: messages, bytes.
OUTBOX = (32, 128 * 1024)
STALLED_SIZE = 1024


class Metric(NamedTuple):
    """A value of a measurement that is shown, always less is better; ``key`` is its name in ``Values``."""

    key: str
    label: str
    unit: str


@dataclass(frozen=True)
class Row:
    """``run(system, scale)`` measures once, ``scale`` times as long as usual. ``rounds`` caps the repetitions.

    ``connections`` is how many the server has open.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    systems: tuple[str, ...]
    run: Callable[[System, float], Values]
    quick: bool = False
    rounds: int = 100
    connections: int = 100
    default: bool = True


ALL = ("wsgw", "wsgw-sio", "nats", "centrifugo", "fastapi", "node", "pysio")
RECEIVING = (*ALL[:2], "wsgw-sse", *ALL[2:])
NATIVE = ("wsgw", "wsgw-sio", "nats", "centrifugo")
CPU = (Metric("us", "", "µs"),)
CONNECT = (Metric("connect_us", "CPU to connect", "µs"), Metric("rss_kb", "resident memory", "KB"))
TLS = ("wsgw", "wsgw-tls", "nats", "nats-tls")


def _fan_out(
    clients: int, size: int, batched: int, single: int, seconds: float, channels: int = 1
) -> Callable[[System, float], Values]:
    """``batched`` messages a round for systems that write what waits together, ``single`` for those that do not."""

    def run(system: System, scale: float) -> Values:
        return fan_out(system, clients, size, batched if system.batches else single, seconds * scale, channels)

    return run


def _fan_in(system: System, scale: float) -> Values:
    return fan_in(system, 100, SIZE, 100 if system.batches else 50, 2.5 * scale)


def _fan_in_confirmed(system: System, scale: float) -> Values:
    close = system.kind == "wsgw"
    return fan_in(system, 100, SIZE, 100, 2.5 * scale, acks=not close, close=close)


def _stalled(system: System, scale: float) -> Values:
    return stalled(system, 10_000, STALLED_SIZE, 10, 25 * scale, 10, OUTBOX)


def _requests(concurrent: int, title: str, name: str = "", *, seconds: float = 3, default: bool = True) -> Row:
    return Row(
        name or f"request-{concurrent}",
        f"Requests, {title}, answered by a program on NATS",
        CPU,
        ("broker", "nats-py", "wsgw", "wsgw-sio"),
        lambda system, scale: requests(system, concurrent, seconds * scale),
        default=default,
    )


def _growth(clients: int) -> Row:
    return Row(
        f"growth-{clients}",
        f"Fan-out to {clients:,} clients, saturated, 200 messages a round",
        CPU,
        NATIVE if clients < 10_000 else NATIVE[:2],  # the others write one by one there: minutes
        _fan_out(clients, SIZE, 200, 20, 2),
        connections=clients,
    )


GROWTH = (10, 100, 1000, 10_000)

ROWS = (
    Row(
        "fanout-100",
        "Fan-out to 100 clients, saturated",
        CPU,
        RECEIVING,
        _fan_out(100, SIZE, 400, 100, 2.5),
        quick=True,
    ),
    Row(
        "fanout-1000",
        "Fan-out to 1,000 clients, saturated",
        CPU,
        RECEIVING,
        _fan_out(1000, SIZE, 200, 20, 2.5),
        connections=1000,
    ),
    Row(
        "durable",
        "Fan-out of a durable channel to 1,000 clients, saturated, beside a plain one",
        CPU,
        ("wsgw", "wsgw-sse", "wsgw-durable", "wsgw-durable-sse"),
        _fan_out(1000, SIZE, 200, 20, 2.5),
        connections=1000,
    ),
    Row(
        "paced",
        "Fan-out to 1,000 clients, 50 messages/s",
        (*CPU, Metric("late", "the last one late by", "s")),
        RECEIVING,
        lambda system, scale: paced(system, 1000, SIZE, 50, 4 * scale),
        connections=1000,
    ),
    Row(
        "fanin",
        "Fan-in from 100 clients, saturated",
        CPU,
        tuple(name for name in ALL if name != "centrifugo"),
        _fan_in,
        quick=True,
    ),
    Row(
        "fanin-confirmed",
        "Fan-in from 100 clients, confirmed (acks; wsgw WebSocket: by the close)",
        CPU,
        ("wsgw", "wsgw-sio", "centrifugo"),
        _fan_in_confirmed,
        quick=True,
    ),
    Row(
        "latency",
        "Latency NATS to client, 1,000 messages/s, 10 clients",
        (Metric("p50", "p50", "µs"), Metric("p99", "p99", "µs")),
        RECEIVING,
        lambda system, scale: latency(system, 10, SIZE, 1000, 4 * scale),
        quick=True,
    ),
    Row("16k", "Fan-out of 16 KiB messages to 100 clients, saturated", CPU, ALL, _fan_out(100, LARGE, 16, 16, 2.5)),
    Row(
        "channels",
        "Fan-out on 1,000 channels with 10 clients each, saturated",
        CPU,
        ("wsgw", "nats", "centrifugo", "fastapi"),
        _fan_out(10, SIZE, 2, 1, 2.5, channels=1000),
        connections=10_000,
    ),
    Row(
        "idle",
        "2,000 idle connections, each",
        (
            Metric("rss_kb", "resident memory", "KB"),
            Metric("pss_kb", "proportional memory", "KB"),
            Metric("connect_us", "CPU to connect", "µs"),
        ),
        RECEIVING,
        lambda system, scale: idle(system, 2000),
        connections=2100,
    ),
    Row(
        "connect-token",
        "Clients that connect, with and without a token of their own",
        CONNECT,
        ("wsgw", "wsgw-token", "wsgw-rs256", "wsgw-sio", "wsgw-sio-token"),
        lambda system, scale: idle(system, 2000),
        connections=2100,
    ),
    Row(
        "connect-tls",
        "Clients that connect, with and without TLS",
        CONNECT,
        TLS,
        lambda system, scale: idle(system, 2000),
        connections=2100,
    ),
    Row(
        "fanout-tls",
        "Fan-out to 100 clients, saturated, with and without TLS",
        CPU,
        TLS,
        _fan_out(100, SIZE, 400, 100, 2.5),
    ),
    Row(
        "stalled",
        "10,000 clients, 10 % stalled, 10 messages/s of 1 KiB",
        (
            Metric("missed", "missed by healthy clients", "messages"),
            Metric("growth_mb", "memory growth", "MB"),
            Metric("us", "CPU per delivery", "µs"),
            Metric("p99_s", "latency p99", "s"),
        ),
        ("wsgw", "nats", "centrifugo"),
        _stalled,
        rounds=1,
        connections=10_000,
    ),
    _requests(64, "64 at a time"),
    _requests(1, "one at a time"),
    *map(_growth, GROWTH),
    Row(
        "tiny",
        "Fan-out to 20 clients, for the bench's own test",
        CPU,
        (*RECEIVING, "wsgw-tls", "nats-tls"),
        _fan_out(20, SIZE, 50, 10, 2),
        default=False,
    ),
    _requests(16, "16 at a time, for the bench's own test", "tiny-request", seconds=2, default=False),
)

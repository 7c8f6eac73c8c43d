"""What has to be reached, as data: from issue "Faster than NATS's own WebSocket listener"."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from bench.rows import GROWTH, OUTBOX

#: The median of a metric: row, system, key; None when it was not measured.
Median = Callable[[str, str, str], float | None]

#: What a step from one number of clients to ten times as many may cost more per delivery and still be flat: noise.
FLAT = 1.25


class Verdict(NamedTuple):
    """``value`` is a ratio or a figure, as ``what`` says; met when it is not above ``limit``."""

    what: str
    limit: float
    value: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


class _Ratio(NamedTuple):
    what: str
    row: str
    key: str
    system: str
    reference: str
    limit: float


class _Figure(NamedTuple):
    what: str
    row: str
    key: str
    system: str
    limit: float


_RATIOS = (
    *(
        _Ratio(f"fan-out to {clients} clients, against {title}", f"fanout-{clients}", "us", "wsgw", reference, limit)
        for clients in (100, 1000)
        for title, reference, limit in (
            ("nats-server", "nats", 0.5),
            ("the FastAPI bridge", "fastapi", 1 / 30),
            ("Centrifugo", "centrifugo", 0.3),
        )
    ),
    _Ratio("durable fan-out, against a plain channel's", "durable", "us", "wsgw-durable", "wsgw", 1.2),
    _Ratio(
        "durable fan-out, server-sent events, against a plain channel's",
        "durable",
        "us",
        "wsgw-durable-sse",
        "wsgw-sse",
        1.2,
    ),
    _Ratio("connect with a token, against without", "connect-token", "connect_us", "wsgw-token", "wsgw", 1.3),
    _Ratio("Socket.IO connect with a token", "connect-token", "connect_us", "wsgw-sio-token", "wsgw-sio", 1.3),
    _Ratio("fan-out paced, against nats-server", "paced", "us", "wsgw", "nats", 0.5),
    _Ratio("fan-out paced, against Centrifugo", "paced", "us", "wsgw", "centrifugo", 0.7),
    *(
        _Ratio(
            f"Socket.IO fan-out to {clients} clients, against {title}",
            f"fanout-{clients}",
            "us",
            "wsgw-sio",
            reference,
            limit,
        )
        for clients in (100, 1000)
        for title, reference, limit in (
            ("our WebSocket", "wsgw", 1.5),
            ("python-socketio", "pysio", 1 / 20),
            ("Node", "node", 1 / 20),
        )
    ),
    _Ratio("fan-in, against nats-server", "fanin", "us", "wsgw", "nats", 2),
    _Ratio("fan-in with acks (Socket.IO), against Centrifugo", "fanin-confirmed", "us", "wsgw-sio", "centrifugo", 0.3),
    _Ratio("fan-in confirmed by the close, against Centrifugo", "fanin-confirmed", "us", "wsgw", "centrifugo", 0.3),
    _Ratio("latency p50, against nats-server", "latency", "p50", "wsgw", "nats", 1.5),
    _Ratio("latency p99, against nats-server", "latency", "p99", "wsgw", "nats", 1.5),
    *(
        _Ratio(f"a request of wsgw's broker, {title}, against nats-py's", row, "us", "broker", "nats-py", 2)
        for row, title in (("request-64", "64 at a time"), ("request-1", "one at a time"))
    ),
    _Ratio("16 KiB messages, against nats-server", "16k", "us", "wsgw", "nats", 0.5),
    _Ratio("1,000 channels × 10 clients, against nats-server", "channels", "us", "wsgw", "nats", 0.5),
    _Ratio("memory per idle connection, against Centrifugo", "idle", "rss_kb", "wsgw", "centrifugo", 0.25),
    _Ratio("CPU per connect, against nats-server", "idle", "connect_us", "wsgw", "nats", 1.5),
    *(
        _Ratio(
            f"{title}: {more:,} clients against {fewer:,}, per delivery",
            f"growth-{more}",
            "us",
            system,
            f"growth-{fewer}",
            FLAT,
        )
        for title, system in (("WebSocket", "wsgw"), ("Socket.IO", "wsgw-sio"))
        for fewer, more in pairwise(GROWTH)
    ),
)
_FIGURES = (
    _Figure("memory per idle connection, KB", "idle", "rss_kb", "wsgw", 12),
    _Figure("10,000 clients, 1,000 stalled: messages missed by the others", "stalled", "missed", "wsgw", 0),
    _Figure(
        "10,000 clients, 1,000 stalled: memory growth, MB (limit: their outboxes)",
        "stalled",
        "growth_mb",
        "wsgw",
        1000 * OUTBOX[1] / 2**20,
    ),
)


def verdicts(median: Median) -> list[Verdict]:
    """Of every target whose figures were measured."""
    found = []
    for what, row, key, system, reference, limit in _RATIOS:
        growth = reference.startswith("growth-")
        value = median(row, system, key)
        base = median(reference, system, key) if growth else median(row, reference, key)
        if value is not None and base is not None:
            found.append(Verdict(what, limit, value / base))
    for what, row, key, system, limit in _FIGURES:
        value = median(row, system, key)
        if value is not None:
            found.append(Verdict(what, limit, value))
    return found

"""The one table of Prometheus metrics, and the objects made from it.

The ``channel`` label is always a configured channel name, never a concrete subject; ``transport`` is one of
``websocket``, ``socketio``, ``sse``, ``http``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from wsgw import __version__

_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric: full ``name`` as scraped, ``kind`` (counter, gauge, histogram), ``labels`` and ``help``."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


TABLE: tuple[Spec, ...] = (
    Spec("wsgw_connections", "gauge", ("transport",), "Clients connected now."),
    Spec("wsgw_subscriptions", "gauge", ("channel",), "Sessions subscribed to the channel now."),
    Spec("wsgw_nats_messages_total", "counter", ("channel",), "Publications received from NATS."),
    Spec(
        "wsgw_deliveries_total",
        "counter",
        ("channel", "transport"),
        "Publications written to a client, one per client.",
    ),
    Spec(
        "wsgw_delivered_bytes_total",
        "counter",
        ("channel",),
        "Bytes written to clients, without WebSocket framing.",
    ),
    Spec(
        "wsgw_published_messages_total",
        "counter",
        ("channel", "transport"),
        "Messages of clients that NATS accepted.",
    ),
    Spec(
        "wsgw_publish_errors_total",
        "counter",
        ("channel", "reason"),
        "Messages of clients that were refused.",
    ),
    Spec(
        "wsgw_publish_seconds",
        "histogram",
        ("channel",),
        "From a client's message to the proof that NATS has it.",
    ),
    Spec("wsgw_request_seconds", "histogram", ("channel",), "From a client's request to the responder's reply."),
    Spec(
        "wsgw_delivery_latency_seconds",
        "histogram",
        ("channel",),
        "From a batch's first arrival to its writing, outboxes not counted.",
    ),
    Spec(
        "wsgw_dropped_messages_total",
        "counter",
        ("channel", "policy"),
        "Publications dropped from full outboxes.",
    ),
    Spec(
        "wsgw_not_json_messages_total",
        "counter",
        ("channel",),
        "Publications that a client wanted as JSON and that are none; it gets them as text, or base64.",
    ),
    Spec("wsgw_outbox_messages", "gauge", (), "Publications waiting in outboxes, all sessions."),
    Spec("wsgw_outbox_bytes", "gauge", (), "Bytes waiting in outboxes, all sessions."),
    Spec("wsgw_closes_total", "counter", ("code",), "Clients that had connected, by the code they were closed with."),
    Spec("wsgw_publishes_in_flight", "gauge", (), "Messages of clients handed to NATS and not yet confirmed."),
    Spec("wsgw_rejected_total", "counter", ("reason",), "Connections and HTTP requests refused."),
    Spec(
        "wsgw_limited_total",
        "counter",
        ("scope", "limit"),
        "Times a client was held back or refused, by whose limit (session, user, address) and which.",
    ),
    Spec("wsgw_limited_names", "gauge", ("scope",), "Users, or addresses, that something is remembered of."),
    Spec(
        "wsgw_gaps_total",
        "counter",
        ("channel",),
        "Times publications of the channel may be missing: NATS was away or refused it, or its stream lost some.",
    ),
    Spec(
        "wsgw_resumes_total",
        "counter",
        ("channel", "result"),
        "Clients that came back to a durable channel: recovered, or with a gap.",
    ),
    Spec("wsgw_ring_messages", "gauge", ("channel",), "Newest publications of a durable channel that are kept here."),
    Spec("wsgw_ring_bytes", "gauge", ("channel",), "Bytes of memory that they take."),
    Spec(
        "wsgw_stream_lag_messages", "gauge", ("channel",), "Messages in a durable channel's stream still to come here."
    ),
    Spec(
        "wsgw_stream_reads_total", "counter", ("channel",), "Reads from a durable channel's stream for clients behind."
    ),
    Spec("wsgw_subjects", "gauge", ("channel",), "Concrete names of a pattern channel that clients are subscribed to."),
    Spec(
        "wsgw_subjects_limit", "gauge", ("channel",), "How many there may be; beyond it clients are told to come later."
    ),
    Spec("wsgw_nats_connected", "gauge", (), "1 while NATS answers the gateway's fences."),
    Spec(
        "wsgw_nats_reconnects_total",
        "counter",
        (),
        "Connections to NATS made again after a loss, or before it.",
    ),
    Spec(
        "wsgw_memory_bytes", "gauge", (), "Kept for clients: outboxes, bodies and messages not complete, and the like."
    ),
    Spec("wsgw_memory_limit_bytes", "gauge", (), "How many there may be; beyond it new work is refused."),
    Spec("wsgw_open_files", "gauge", (), "Open files, connections of clients among them."),
    Spec("wsgw_open_files_limit", "gauge", (), "How many there may be; of them limits.files_reserve are kept free."),
    Spec("wsgw_deferred_connections", "gauge", (), "Connections that sent more than a slice, and wait for their turn."),
    Spec(
        "wsgw_config_reloads_total",
        "counter",
        ("result",),
        "Times the configuration was read again: success, or failure, which changed nothing.",
    ),
    Spec("wsgw_config_last_reload_successful", "gauge", (), "0 when it could not be used the last time, else 1."),
    Spec(
        "wsgw_config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "When the configuration in use was read, in seconds since 1970.",
    ),
    Spec(
        "wsgw_certificate_expires_timestamp_seconds",
        "gauge",
        ("certificate",),
        "Until when it is good, in seconds since 1970: the certificate that clients see (clients), or NATS (nats), "
        "and the JWT of the user in NATS (nats_user).",
    ),
    Spec("wsgw_event_loop_lag_seconds", "gauge", (), "How late the event loop ran its last periodic timer."),
    Spec("wsgw_build_info", "gauge", ("version",), "Always 1; the version is in the label."),
)


def without_created_series() -> None:
    """Leave out the second sample (``_created``) of each counter, in the whole process; nothing here uses it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one gateway, in a registry of its own (nothing is global, so tests and mounts do not collide)."""

    connections: Gauge
    subscriptions: Gauge
    nats_messages: Counter
    deliveries: Counter
    delivered_bytes: Counter
    published_messages: Counter
    publish_errors: Counter
    publish_seconds: Histogram
    request_seconds: Histogram
    delivery_latency_seconds: Histogram
    dropped_messages: Counter
    not_json_messages: Counter
    outbox_messages: Gauge
    outbox_bytes: Gauge
    closes: Counter
    publishes_in_flight: Gauge
    rejected: Counter
    limited: Counter
    limited_names: Gauge
    gaps: Counter
    resumes: Counter
    ring_messages: Gauge
    ring_bytes: Gauge
    stream_lag_messages: Gauge
    stream_reads: Counter
    subjects: Gauge
    subjects_limit: Gauge
    nats_connected: Gauge
    nats_reconnects: Counter
    memory_bytes: Gauge
    memory_limit_bytes: Gauge
    open_files: Gauge
    open_files_limit: Gauge
    deferred_connections: Gauge
    config_reloads: Counter
    config_last_reload_successful: Gauge
    config_last_reload_success_timestamp_seconds: Gauge
    certificate_expires_timestamp_seconds: Gauge
    event_loop_lag_seconds: Gauge
    build_info: Gauge

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        #: called before the metrics are read, for those who count in a variable of their own
        self.on_read: list[Callable[[], None]] = []
        for spec in TABLE:
            metric: Any
            if spec.kind == "counter":
                metric = Counter(spec.name, spec.help, spec.labels, registry=self.registry)
            elif spec.kind == "gauge":
                metric = Gauge(spec.name, spec.help, spec.labels, registry=self.registry)
            else:
                metric = Histogram(spec.name, spec.help, spec.labels, registry=self.registry, buckets=_FAST)
            setattr(self, spec.name.removeprefix("wsgw_").removesuffix("_total"), metric)
        self.build_info.labels(__version__).set(1)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        for refresh in self.on_read:
            refresh()
        return generate_latest(self.registry)


class Tally:
    """Of ``total``, by its labels: counted in plain numbers, which cost less, until the metrics are read."""

    __slots__ = ("_counts", "_total")

    def __init__(self, metrics: Metrics, total: Counter) -> None:
        self._total = total
        self._counts: dict[tuple[str, ...], int] = {}
        metrics.on_read.append(self._report)

    def add(self, *labels: str, count: int = 1) -> None:
        """``count`` more."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def _report(self) -> None:
        counts, self._counts = self._counts, {}
        for labels, count in counts.items():
            self._total.labels(*labels).inc(count)

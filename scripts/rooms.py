"""The rooms of the package and the modules in them, lowest first: a module imports only what stands before it.

``tests/unit/test_layers.py`` holds the code to this table; ``docs/architecture.md`` shows it.
"""

from __future__ import annotations

#: Room (a package below ``wsgw``, empty for its root) and its modules by dotted name in it. ``app`` stands between
#: rooms; a package is named where its ``__init__`` has code.
ROOMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("__init__", "closecodes", "errors", "backoff", "log", "metrics", "tasks")),
    ("channels", ("subjects", "channel", "table")),
    ("config", ("yaml12", "file", "settings", "load")),
    ("fanout", ("frames", "turn", "deliveries", "publication", "link", "outbox", "sender", "audience", "hub")),
    (
        "protocols",
        (
            "handshake",
            "websocket.clientframes",
            "websocket.wire",
            "engineio.base64",
            "engineio.packets",
            "engineio.shell",
            "engineio.engine",
            "socketio.arguments",
            "socketio.packets",
            "socketio.earlyevents",
            "socketio.ack",
            "socketio.handler",
            "socketio.socket",
            "socketio.namespace",
            "socketio.carrier",
            "socketio.multiplexer",
        ),
    ),
    (
        "broker",
        (
            "violation",
            "headers",
            "parser",
            "delivery",
            "stream",
            "subscription",
            "client",
            "fences",
            "requests",
            "connection",
            "broker",
        ),
    ),
    ("bridges", ("base", "fixed", "interests", "concrete", "overlap", "pattern")),
    ("access", ("origins", "principal", "rules")),
    ("core", ("backpressure", "outbound", "drain", "series", "session", "gateway")),
    ("transports", ("receivers", "asgi", "keepalive", "closing", "direct", "accept", "http")),
    (
        "surfaces",
        (
            "answers",
            "application",
            "refusals",
            "ops",
            "publish",
            "websocket",
            "socketio.scopes",
            "socketio.websocket",
            "socketio.session",
            "socketio.engineio",
            "socketio.server",
            "socketio.channels",
        ),
    ),
    ("", ("app",)),
    ("process", ("server",)),
    (
        "cli",
        (
            "jsontext",
            "output",
            "address",
            "run",
            "options",
            "scenario",
            "clients.base",
            "clients.reach",
            "clients.nats",
            "clients.websocket",
            "clients.socketio",
            "clients",
            "consumer",
            "producer",
            "check_config",
            "server",
            "main",
        ),
    ),
)


def order() -> list[str]:
    """The dotted name below ``wsgw`` of every module that has code, lowest first."""
    return [f"{room}.{name}".lstrip(".") for room, names in ROOMS for name in names]

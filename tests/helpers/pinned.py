"""Our files that rest on private parts of libraries, as the messages of the pins name them."""

from __future__ import annotations

DIRECT, CLOSING, KEEPALIVE, FRAMES, SERVER, CLIENT, STREAM, CONNECTION, ARGUMENTS = OURS = (
    "wsgw/transports/direct.py",
    "wsgw/transports/closing.py",
    "wsgw/transports/keepalive.py",
    "wsgw/protocols/websocket/clientframes.py",
    "wsgw/process/server.py",
    "wsgw/broker/client.py",
    "wsgw/broker/stream.py",
    "wsgw/broker/connection.py",
    "wsgw/protocols/socketio/arguments.py",
)

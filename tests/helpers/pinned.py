"""Our files that rest on private parts of libraries, as the messages of the pins name them."""

from __future__ import annotations

DIRECT, UPGRADING, CLOSING, KEEPALIVE, FRAMES, SERVER, HANDSHAKE, STREAM, ARGUMENTS = OURS = (
    "wsgw/transports/direct.py",
    "wsgw/transports/upgrading.py",
    "wsgw/transports/closing.py",
    "wsgw/transports/keepalive.py",
    "wsgw/protocols/websocket/clientframes.py",
    "wsgw/process/server.py",
    "wsgw/broker/handshake.py",
    "wsgw/broker/stream.py",
    "wsgw/protocols/socketio/arguments.py",
)

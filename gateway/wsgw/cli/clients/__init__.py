"""The three sides a command can talk to, behind one protocol (:class:`~wsgw.cli.clients.base.Client`)."""

from __future__ import annotations

import os

from wsgw.cli.address import Address
from wsgw.cli.clients.base import Client


def client_for(address: Address, timeout_seconds: float) -> Client:
    """A client for the side that the address names; nothing is opened yet.

    ``timeout_seconds`` is how long it waits for each confirmation or reply. ``NATS_USER`` and ``NATS_PASS`` are used
    where a NATS address names nobody.
    """
    # each side brings a library that takes a while to import: only the one that is used
    if address.scheme in ("http", "https"):
        from wsgw.cli.clients.socketio import SocketIOClient

        return SocketIOClient(address, timeout_seconds)
    if address.scheme in ("ws", "wss"):
        from wsgw.cli.clients.websocket import WebSocketClient

        return WebSocketClient(address, timeout_seconds)
    from wsgw.cli.clients.nats import NatsClient

    user, password = address.user, address.password
    if user is None:
        user, password = os.environ.get("NATS_USER"), os.environ.get("NATS_PASS")
    return NatsClient(address, timeout_seconds, user, password)

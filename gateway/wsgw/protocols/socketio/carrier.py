"""The Engine.IO session below, as the sockets see it."""

from __future__ import annotations

from typing import Protocol

from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.socket import Socket


class Carrier(Protocol):
    """Carries the messages of one connection. No call may raise or block."""

    def connect(self, socket: Socket, auth: Json | None) -> None:
        """Start ``Namespace.connect`` in a task; then call ``accept`` or ``refuse`` of the sockets."""

    def give_up(self, socket: Socket) -> None:
        """The client left while ``Namespace.connect`` was working for ``socket``: cancel that."""

    def close(self, code: int) -> None:
        """End the connection when what was sent before is out."""

    def fail(self, code: int) -> None:
        """End the connection at once."""

    def hold(self) -> None:
        """Take nothing more from the client until ``release``; repeated calls are harmless."""

    def release(self) -> None:
        """Undo ``hold``."""

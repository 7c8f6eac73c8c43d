"""The application's side of one socket."""

from __future__ import annotations

from typing import Protocol

from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument


class Handler(Protocol):
    """Hears what becomes of a socket. Synchronous; must not block. An exception ends the connection (1011)."""

    def connected(self) -> None:
        """The client's CONNECT has been answered: what is sent from now on comes behind the answer."""

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        """The client emitted an event; ``ack`` is None when it asks for no answer."""

    def disconnected(self, code: int) -> None:
        """The socket has ended: 1000 the client left, 1006 it was lost, otherwise the close code. Once, last."""

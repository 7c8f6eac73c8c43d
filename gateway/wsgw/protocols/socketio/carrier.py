"""The Engine.IO session below, as the sockets see it."""

from __future__ import annotations

from typing import Protocol

from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.socket import Socket


class Carrier(Protocol):
    """Carries the messages of one connection. No call may raise or block."""

    def accepted(self) -> None:
        """A client was accepted, for the first time on this connection."""

    def needless(self, count: int = 1) -> None:
        """The client sent a packet that says nothing, or costs as much as ``count``; too many of them are a flood."""

    def keep(self, size: int) -> None:
        """``size`` bytes more are kept for the client, or fewer where it is negative; none once it has ended."""

    def owes(self, owing: bool) -> None:
        """The client owes attachments of a packet, which it has some time for; or (False) all have come."""

    def connect(self, socket: Socket, auth: Json | None) -> None:
        """Start ``Namespace.connect`` in a task; then call ``accept`` or ``refuse`` of the sockets.

        There is one task for a namespace at a time: one that was given up ends first.
        """

    def give_up(self, socket: Socket) -> None:
        """The client left while ``Namespace.connect`` was working, or was to work, for ``socket``: cancel that."""

    def close(self, code: int) -> None:
        """End the connection when what was sent before is out."""

    def fail(self, code: int) -> None:
        """End the connection at once."""

    def hold(self) -> None:
        """Take nothing more from the client until ``release``; repeated calls are harmless."""

    def release(self) -> None:
        """Undo ``hold``."""


class NoCarrier:
    """Below a connection that has ended: nothing, and so nothing that would keep it."""

    def accepted(self) -> None: ...

    def needless(self, count: int = 1) -> None: ...

    def keep(self, size: int) -> None: ...

    def owes(self, owing: bool) -> None: ...

    def connect(self, socket: Socket, auth: Json | None) -> None: ...

    def give_up(self, socket: Socket) -> None: ...

    def close(self, code: int) -> None: ...

    def fail(self, code: int) -> None: ...

    def hold(self) -> None: ...

    def release(self) -> None: ...


NO_CARRIER = NoCarrier()

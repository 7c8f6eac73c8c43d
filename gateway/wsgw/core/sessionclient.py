"""A session's client, as the session sees it."""

from __future__ import annotations

from typing import Protocol

from wsgw.bridges.place import Place
from wsgw.errors import GatewayError


class SessionClient(Protocol):
    """The surface's side of a session. No call may raise or block."""

    def drain(self) -> None:
        """The gateway stops: send what waits and close with 1001, without waiting for the client."""

    def abort(self) -> None:
        """Drop the connection."""

    def hold(self) -> None:
        """Take nothing more from the client until ``release``: too much of what was published waits for NATS."""

    def release(self) -> None:
        """Undo ``hold``."""

    def refused(self, name: str, error: GatewayError) -> None:
        """NATS refuses ``name``, which is being joined or was; the subscription has ended."""

    def placed(self, name: str, place: Place) -> None:
        """Where the client stands in the stream of a durable channel: before its first publication, and at a gap."""

    def gap(self, names: list[str]) -> None:
        """Publications to ``names``, which no stream holds, may be missing before the next ones."""

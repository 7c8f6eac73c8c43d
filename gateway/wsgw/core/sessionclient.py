"""A session's client, as the session sees it."""

from __future__ import annotations

from collections.abc import Sequence
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

    def expired(self, error: GatewayError) -> None:
        """What the client proved to be it is no longer: tell it so, and end the session behind what came before."""

    def limited(self, error: GatewayError) -> None:
        """The client goes on to send more than it may: end the session behind what came before."""

    def refused(self, name: str, error: GatewayError) -> None:
        """NATS, or who is asked, refuses ``name``, which is being joined or was; the subscription has ended."""

    def removed(self, name: str, error: GatewayError) -> None:
        """``name`` does not belong to its channel any more; the subscription has ended, behind what came before.

        The error says why. Where it is channel_changed the name may be joined again, at once.
        """

    def reconfigured(self, added: Sequence[str]) -> None:
        """The channels are others now, and it was told of all that it lost. ``added`` may be joined."""

    def placed(self, name: str, place: Place) -> None:
        """Where the client stands in the stream of a durable channel: before its first publication, and at a gap."""

    def gap(self, names: list[str]) -> None:
        """Publications to ``names``, which no stream holds, may be missing before the next ones."""

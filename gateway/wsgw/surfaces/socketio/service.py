"""The seam between an Engine.IO session and the protocol above it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from wsgw.protocols.longtext import Content


class Shown(NamedTuple):
    """A digest of what a request shows of its client, and whether it does in a header that not all clients repeat."""

    digest: bytes
    once: bool


class Service(Protocol):
    """The protocol above a session. No call may raise or block."""

    @property
    def known(self) -> object:
        """What it has found out of the client."""

    def message_received(self, data: Content) -> None:
        """One message of the client."""

    def closed(self, code: int) -> None:
        """The session has ended, by close ``code`` (1000 the client closed it, 1006 it was lost). Once, last."""


class NoService:
    """Above a session that has ended."""

    known = None

    def message_received(self, data: Content) -> None: ...

    def closed(self, code: int) -> None: ...


NO_SERVICE = NoService()

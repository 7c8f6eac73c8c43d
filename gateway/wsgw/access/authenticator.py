"""Who finds out who a client is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from wsgw.access.identity import Identity
from wsgw.protocols.handshake import Handshake


class Authenticator(Protocol):
    """One of a gateway; ``start`` and ``close`` it."""

    def start(self) -> None:
        """Begin; needs a running loop."""

    async def close(self) -> None:
        """End its tasks and connections."""

    def token_of(self, handshake: Handshake) -> str | None:
        """What ``handshake`` shows, in one text: two of the same show the same; None where it shows nothing.

        Raises GatewayError (unauthenticated) where it shows something that can be no token.
        """

    def identify(self, handshake: Handshake, token: str | None = None) -> Identity | Awaitable[Identity]:
        """Who sends ``handshake``, and maybe a ``token`` by another way, which counts before what is in there.

        Raises GatewayError, at once or when awaited: unauthenticated, token_expired, or auth_unavailable where who
        decides cannot be asked. Who shows something wrong is refused, and never taken for who shows nothing.
        """

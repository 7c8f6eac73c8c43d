"""An authenticator for tests: tokens are keys of a table."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.errors import TOKEN_EXPIRED, UNAUTHENTICATED, GatewayError
from wsgw.protocols.handshake import Handshake

#: What takes the place of a configuration for who brings an authenticator of his own.
AUTH = {"jwt": {"secret": "not the one of any token in these tests"}}


class Tokens:
    """Implements ``Authenticator``: a token comes as ``Authorization: Bearer``, ``?token=`` or said elsewhere."""

    def __init__(self, anonymous: Identity | None = None) -> None:
        self.identities: dict[str, Identity] = {}
        self.anonymous = anonymous
        self.asked: list[str | None] = []

    def add(self, token: str, user: str, *, seconds: float | None = None, **rights: object) -> Identity:
        """``token`` is ``user``'s from now on, for so many ``seconds``; ``claims`` among the rights are not rights."""
        claims = rights.pop("claims", {})
        assert isinstance(claims, dict)
        expires_at = None if seconds is None else time.time() + seconds
        identity = Identity(user, rights_of(rights), {"sub": user, **claims}, expires_at)
        self.identities[token] = identity
        return identity

    def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nor then."""

    def token_of(self, handshake: Handshake) -> str | None:
        shown = handshake.header(b"authorization")
        if shown is not None:
            return shown.removeprefix("Bearer ")
        return handshake.query.get("token")

    def identify(self, handshake: Handshake, token: str | None = None) -> Identity | Awaitable[Identity]:
        token = token or self.token_of(handshake)
        self.asked.append(token)
        identity = self.anonymous if token is None else self.identities.get(token)
        if identity is None:
            raise GatewayError(UNAUTHENTICATED, UNAUTHENTICATED.summary)
        if identity.expires_at is not None and identity.expires_at <= time.time():
            raise GatewayError(TOKEN_EXPIRED, TOKEN_EXPIRED.summary)
        return identity

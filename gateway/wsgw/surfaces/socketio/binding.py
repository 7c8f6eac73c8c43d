"""Whose a session is: requests that name its sid are to come from who opened it.

A sid is a secret of its own. Beside it a request may show who it comes from (a header, a cookie, the query): then that
is who opened the session. Another address alone is nobody else: phones roam.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Protocol

from wsgw.core.gateway import Gateway
from wsgw.errors import AUTH_UNAVAILABLE, TOKEN_EXPIRED, GatewayError
from wsgw.protocols.engineio.packets import EXPIRED, UNAUTHENTICATED, UNAVAILABLE, RequestError, RequestRefused
from wsgw.protocols.handshake import Handshake
from wsgw.surfaces.socketio.knownclient import KnownClient
from wsgw.surfaces.socketio.service import Service, Shown

#: Sessions that ended with their tokens, of which clients on polling are told so.
MAX_EXPIRED = 4096


#: Other refusals of who shows something are 401.
_TOLD = {TOKEN_EXPIRED: EXPIRED, AUTH_UNAVAILABLE: UNAVAILABLE}


class Bound(Protocol):
    """A session."""

    service: Service
    #: what its opening request showed, or one after it that showed the same user in another way
    shown: Shown | None


class Binding:
    """Of the sessions of one endpoint, with authentication."""

    def __init__(self, gateway: Gateway) -> None:
        assert gateway.authenticator is not None
        self._gateway = gateway
        self._token_of = gateway.authenticator.token_of
        self._expired: OrderedDict[str, None] = OrderedDict()

    def shown(self, request: Handshake) -> Shown | None:
        """What is kept of what ``request`` shows; None where it shows nothing; raises RequestRefused."""
        try:
            text = self._token_of(request)
        except GatewayError:
            raise RequestRefused(UNAUTHENTICATED) from None
        if text is None:
            return None
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        return Shown(digest, request.header(b"authorization") is not None)

    async def check(self, session: Bound, request: Handshake, *, websocket: bool) -> None:
        """Raises RequestRefused where ``request`` is not of who opened ``session``, which goes on.

        Browsers send the header Authorization with no WebSocket, and Python's client with its first request only: who
        shows nothing then knows the sid at least. Cookies and queries come with each request.
        """
        shown, before = self.shown(request), session.shown
        if shown == before:
            return
        if shown is None and before is not None:
            if before.once or websocket:
                return
            raise RequestRefused(UNAUTHENTICATED)
        try:
            identity = await self._gateway.identity_of(request)
        except GatewayError as error:
            raise RequestRefused(_TOLD.get(error.kind, UNAUTHENTICATED)) from None
        known = session.service.known
        opener = known.principal.identity if isinstance(known, KnownClient) else None
        if opener is None or identity.user != opener.user:
            raise RequestRefused(UNAUTHENTICATED)
        session.shown = shown

    def expired(self, sid: str) -> None:
        """The session ends with its client's token."""
        self._expired[sid] = None
        if len(self._expired) > MAX_EXPIRED:
            self._expired.popitem(last=False)

    def why_unknown(self, sid: str) -> RequestError | None:
        """Why there is no session of that ``sid``, if that is known here."""
        return EXPIRED if sid in self._expired else None

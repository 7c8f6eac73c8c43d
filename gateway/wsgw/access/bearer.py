"""Where a request has its token (RFC 6750, and what browsers can do)."""

from __future__ import annotations

from wsgw.access.compact import MAX_TOKEN_BYTES, refusal
from wsgw.errors import UNAUTHENTICATED, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.websocket.request import BEARER_PROTOCOL


class Bearer:
    """Finds tokens; also in the ``cookie`` and the ``query_parameter`` of these names, where they are given."""

    def __init__(self, cookie: str | None, query_parameter: str | None) -> None:
        self._cookie = cookie
        self._query_parameter = query_parameter

    def find(self, handshake: Handshake) -> str | None:
        """The token of ``handshake``; None where it shows nothing.

        It is looked for in the header Authorization, the subprotocols, the cookie, the query, in this order, and the
        first one counts, be it good or bad: others are not looked at, so that a stale cookie is in nobody's way who
        says something else. Nobody gains by two, for who can show both can show either. Raises GatewayError
        (unauthenticated) for something that can be no token. An empty cookie is none: so they are taken away.
        """
        values = handshake.values(b"authorization")
        if values:
            return _bounded(_of_authorization(values))
        values = handshake.values(b"sec-websocket-protocol")
        if values:
            token = of_protocols(values)
            if token is not None:
                return _bounded(token)
        if self._cookie is not None:
            token = _of_cookies(handshake.values(b"cookie"), self._cookie)
            if token:
                return _bounded(token)
        if self._query_parameter is not None:
            token = handshake.query.get(self._query_parameter)
            if token is not None:
                if not token:
                    raise refusal(f"in the query parameter {self._query_parameter!r} is empty")
                return _bounded(token)
        return None


def _of_authorization(values: list[str]) -> str:
    scheme, _, token = values[0].strip().partition(" ")
    token = token.strip(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token or " " in token:
        raise GatewayError(UNAUTHENTICATED, "the header Authorization is not one 'Bearer TOKEN'")
    return token


def of_protocols(values: list[str]) -> str | None:
    """The token offered behind the subprotocol ``bearer``, None without that; raises GatewayError (unauthenticated)."""
    offered = [one.strip() for value in values for one in value.split(",")]
    if BEARER_PROTOCOL not in offered:
        return None
    behind = offered.index(BEARER_PROTOCOL) + 1
    if behind == len(offered) or not offered[behind]:
        raise GatewayError(UNAUTHENTICATED, f"behind the subprotocol {BEARER_PROTOCOL!r} no token is offered")
    return offered[behind]


def _of_cookies(values: list[str], wanted: str) -> str | None:
    """The first one of that name: browsers send the most specific one first (RFC 6265 section 5.4)."""
    for value in values:
        for pair in value.split(";"):
            name, _, token = pair.partition("=")
            if name.strip() == wanted:
                return token.strip().strip('"')
    return None


def _bounded(token: str) -> str:
    if len(token) > MAX_TOKEN_BYTES:
        raise refusal(f"is longer than {MAX_TOKEN_BYTES} bytes")
    return token

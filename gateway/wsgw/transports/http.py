"""The little of HTTP that Engine.IO polling needs, over ASGI messages."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from wsgw.protocols.engineio.packets import TOO_LARGE, RequestRefused
from wsgw.protocols.handshake import Handshake
from wsgw.transports.asgi import Event, Receive, Send

Headers = list[tuple[bytes, bytes]]

_CORS_MAX_AGE_SECONDS = 600


class ClientGone(Exception):
    """The client went away before its request was complete."""


def request_of(scope: Event) -> Handshake:
    """What ``scope`` says of the request."""
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client")
    return Handshake(
        path=scope["path"],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        client=client[0] if client else "",
    )


async def respond(send: Send, status: int, body: bytes, content_type: str, headers: Headers) -> None:
    """Send a whole response."""
    every = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The request's body; raises RequestRefused (413) once it is over the limit, ClientGone when it ends early."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise ClientGone
        part = event.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise RequestRefused(TOO_LARGE)
        parts.append(part)
        if not event.get("more_body", False):
            return b"".join(parts)


async def wait_gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Cors:
    """Which pages of other origins may read answers (the Fetch standard): ``"*"`` for all, or their origins."""

    def __init__(self, origins: str | Sequence[str]) -> None:
        self._origins = None if origins == "*" else frozenset([origins] if isinstance(origins, str) else origins)

    def allows(self, request: Handshake) -> bool:
        """Whether ``request`` comes from an allowed page, or from no page of another origin at all."""
        origin = request.headers.get("origin")
        return self._origins is None or origin is None or origin in self._origins or self._is_own(request, origin)

    def headers(self, request: Handshake) -> Headers:
        """What every answer to ``request`` carries."""
        if self._origins is None:
            return [(b"access-control-allow-origin", b"*")]
        origin = request.headers.get("origin")
        if origin not in self._origins:
            return [(b"vary", b"origin")]
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]

    def preflight(self, request: Handshake) -> Headers:
        """What the answer to OPTIONS carries besides."""
        wanted = request.headers.get("access-control-request-headers", "content-type")
        return [
            (b"access-control-allow-methods", b"GET,POST"),
            (b"access-control-allow-headers", wanted.encode("latin-1")),
            (b"access-control-max-age", b"%d" % _CORS_MAX_AGE_SECONDS),
        ]

    @staticmethod
    def _is_own(request: Handshake, origin: str) -> bool:
        return origin.partition("://")[2] == request.headers.get("host")

"""The little of HTTP that Engine.IO polling needs, over ASGI messages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from wsgw.protocols.engineio.packets import TOO_LARGE, RequestRefused
from wsgw.protocols.socketio.sockets import Request
from wsgw.transports.asgi import Event, Receive, Send


class ClientGone(Exception):
    """The client went away before its request was complete."""


def request_of(scope: Event) -> Request:
    """What ``scope`` says of the request."""
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client")
    return Request(
        path=scope["path"],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        client=client[0] if client else "",
    )


async def respond(send: Send, status: int, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
    """Send a whole response."""
    every = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
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

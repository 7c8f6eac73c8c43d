"""HTTP over ASGI messages: what a request says, its body, and answers that may come before all of the body did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from wsgw.protocols.handshake import Handshake
from wsgw.transports.asgi import Event, Receive, Send

#: What is still read, and for how long, of a body that was refused.
UNREAD_BYTES = 64 * 1024 * 1024
UNREAD_SECONDS = 5.0


class ClientGone(Exception):
    """The client went away before its request was complete."""


class BodyTooLarge(Exception):
    """The body is over the limit; the rest of it was not read."""


def handshake_of(scope: Event) -> Handshake:
    """What ``scope`` says of the request."""
    client = scope.get("client")
    return Handshake(scope["path"], scope.get("query_string", b""), scope["headers"], client[0] if client else "")


class Body:
    """The body of one request, from its ``scope``. ``unfinished`` while more of it may come."""

    def __init__(self, scope: Event, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self._receive = receive
        self._announced_bytes = _length(headers.get(b"content-length", b"0"))
        self.unfinished = self._announced_bytes != 0 or b"transfer-encoding" in headers

    async def read(self, limit_bytes: int) -> bytes:
        """All of it; raises BodyTooLarge as soon as it is known to be over the limit, ClientGone when it ends early."""
        if self._announced_bytes is not None and self._announced_bytes > limit_bytes:
            raise BodyTooLarge
        body = bytearray()  # no list of parts: they may be of one byte each
        self.unfinished = True
        while self.unfinished:
            part = await self._next()
            if len(body) + len(part) > limit_bytes:
                raise BodyTooLarge
            if not body and not self.unfinished:
                return part
            body += part
        return bytes(body)

    async def discard(self) -> None:
        """Read what is left and drop it, but not more than UNREAD_BYTES, and not for longer than UNREAD_SECONDS."""
        size = 0
        with suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(UNREAD_SECONDS):
                while self.unfinished and size <= UNREAD_BYTES:
                    size += len(await self._next())

    async def _next(self) -> bytes:
        event = await self._receive()
        if event["type"] != "http.request":
            raise ClientGone
        self.unfinished = event.get("more_body", False)
        part: bytes = event.get("body", b"")
        return part


async def respond(
    send: Send,
    status: int,
    content: bytes,
    headers: Mapping[str, str],
    rest: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Send a whole response.

    ``rest`` is for an answer to a request whose body is unfinished: the answer goes out, then ``rest`` reads on, then
    the connection ends. One that is closed with data unread is reset, and the answer lost (RFC 9112 section 9.6).
    """
    every = {"content-length": str(len(content)), **headers}
    if status == 204:
        del every["content-length"]  # RFC 9110 section 8.6
    if rest is not None:
        every["connection"] = "close"
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if rest is None:
        await send({"type": "http.response.body", "body": content})
        return
    await send({"type": "http.response.body", "body": content, "more_body": True})
    await rest()
    await send({"type": "http.response.body", "body": b""})


async def wait_gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _length(value: bytes) -> int | None:
    """What ``content-length`` says; None where that is no number, which is for the HTTP server to refuse."""
    try:
        return int(value)
    except ValueError:
        return None

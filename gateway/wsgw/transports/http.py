"""HTTP over ASGI messages: what a request says, its body, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from wsgw.protocols.handshake import Handshake
from wsgw.shares.memory import Memory
from wsgw.transports.asgi import Event, Receive, Send

#: Where a scope has what limits by address count its client as, if that is known.
NETWORK = "wsgw.network"


class ClientGone(Exception):
    """The client went away before its request was complete."""


class BodyTooLarge(Exception):
    """The body is over the limit; the rest of it was not read."""


class BodyDropped(Exception):
    """So much was kept for all clients that this body, one of the largest, was dropped."""


def handshake_of(scope: Event) -> Handshake:
    """What ``scope`` says of the request."""
    client = scope.get("client")
    address = client[0] if client else ""
    query = scope.get("query_string", b"")
    return Handshake(scope["path"], query, scope["headers"], address, scope.get(NETWORK))


class Body:
    """The body of one request, from its ``scope``. What came of it counts in ``memory``, whose ``Holder`` it is."""

    def __init__(self, scope: Event, receive: Receive, memory: Memory) -> None:
        self._receive = receive
        self._memory = memory
        self._announced_bytes = _length(dict(scope["headers"]).get(b"content-length", b"0"))
        self._body = bytearray()  # no list of parts: they may be of one byte each
        self._waiting: asyncio.Timeout | None = None  # for more, behind what is kept
        self._dropped = False

    async def read(self, limit_bytes: int) -> bytes:
        """All of it; raises BodyTooLarge as soon as it is known to be over the limit, ClientGone when it ends early.

        Raises BodyDropped once there was an ``evict``, whether anything more comes or not.
        """
        if self._announced_bytes is not None and self._announced_bytes > limit_bytes:
            raise BodyTooLarge
        part, more = await self._part(limit_bytes)
        if not more:
            return part  # nearly all: nothing was kept while more was waited for
        self._memory.register(self)
        try:
            async with asyncio.timeout(None) as self._waiting:
                while more:
                    self._body += part
                    self._memory.add(len(part))
                    part = b""  # else it were kept beside it while the next is waited for
                    part, more = await self._part(limit_bytes)
            if not self._dropped:  # in the tick in which the last part came
                return bytes(self._body) + part
        except TimeoutError:
            pass  # nothing may lead to it: its frames have the task, which has the error that it ends with
        finally:
            self._waiting = None
            self._memory.discard(self)
            self._forget()
        raise BodyDropped

    # -- memory.Holder

    def held_bytes(self) -> int:
        return len(self._body)

    def evict(self) -> None:
        self._dropped = True
        self._forget()
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    # -- inside

    async def _part(self, limit_bytes: int) -> tuple[bytes, bool]:
        """The next part, and whether more comes behind it; raises BodyTooLarge, ClientGone."""
        event = await self._receive()
        if event["type"] != "http.request":
            raise ClientGone
        part: bytes = event.get("body", b"")
        if len(self._body) + len(part) > limit_bytes:
            raise BodyTooLarge
        return part, event.get("more_body", False)

    def _forget(self) -> None:
        size = len(self._body)
        self._body.clear()
        self._memory.add(-size)


async def respond(send: Send, status: int, content: bytes, headers: Mapping[str, str]) -> None:
    """Send a whole response."""
    every = {"content-length": str(len(content)), **headers}
    if status == 204:
        del every["content-length"]  # RFC 9110 section 8.6
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


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

"""From a WebSocket scope to a ``Link``, by the best way the server offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wsgw.closecodes import POLICY_VIOLATION
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link, Receiver
from wsgw.fanout.publication import Encoded
from wsgw.shares.parting import Parting
from wsgw.transports.asgi import AsgiLink, Event, Receive, Send
from wsgw.transports.direct import DirectProtocol
from wsgw.transports.upgrading import EXTENSION

#: Of a client that nothing is taken of: it may have sent a message, or a CONNECT with a token, before it knew.
MAX_UNTAKEN_BYTES = 64 * 1024


async def open_link(
    scope: Event,
    receive: Receive,
    send: Send,
    receiver: Receiver,
    max_message_bytes: int,
    subprotocol: str | None = None,
) -> Link:
    """Accept the WebSocket of ``scope`` (whose ``websocket.connect`` was received) and attach ``receiver`` to it.

    Raises OSError when the client has gone. Nothing else runs between the accept and the return; the caller may write
    to the link at once, and must ``await link.run()`` next: the receiver hears nothing before.
    """
    protocol = scope.get("extensions", {}).get(EXTENSION)
    if isinstance(protocol, DirectProtocol):
        protocol.accept(subprotocol)
        return protocol.attach(receiver, max_message_bytes)
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    return AsgiLink(receive, send, receiver, max_message_bytes)


async def refuse(
    scope: Event,
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a WebSocket handshake with an HTTP response instead (RFC 6455 section 4.2.2), or 403 where ASGI cannot.

    It has those ``headers``, too.
    """
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    every = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in every.items()]
    await send({"type": "websocket.http.response.start", "status": status, "headers": raw})
    await send({"type": "websocket.http.response.body", "body": body})


class _Deaf:
    """The receiver of a WebSocket that is closed as soon as it is open, and then among those ``parting``."""

    __slots__ = ("_link", "_parting")

    messages_at_a_time = 1

    def __init__(self, parting: Parting) -> None:
        self._parting = parting
        self._link: Link | None = None

    def close(self, link: Link, code: int, reason: str) -> None:
        """It is ``link``, and open."""
        self._link = link
        self._parting.add(link)
        link.close(code, reason)

    def messages_received(self, messages: Sequence[Message]) -> None:
        """What it sent before it knew."""

    def close_received(self, code: int, reason: str) -> None:
        """It is answered by the close that was sent."""

    def writing_paused(self) -> None:
        """Nothing more is written."""

    def writing_resumed(self) -> None:
        """Nor then."""

    def lost(self, code: int) -> None:
        """As it was to be."""
        link, self._link = self._link, None  # each keeps the other
        if link is not None:
            self._parting.discard(link)


async def turn_away(
    parting: Parting,
    scope: Event,
    receive: Receive,
    send: Send,
    code: int,
    reason: str,
    subprotocol: str | None = None,
    first: Sequence[Encoded] = (),
) -> None:
    """Accept the WebSocket of ``scope``, and close it: a page learns why from a close code and ``reason`` alone.

    Before that it is sent what is in ``first``. Behind it, until the client answers, it is among those ``parting``.
    """
    deaf = _Deaf(parting)
    try:
        link = await open_link(scope, receive, send, deaf, MAX_UNTAKEN_BYTES, subprotocol)
    except OSError:
        return  # the client has gone
    for item in first:
        link.write(item)
    deaf.close(link, code, reason)
    await link.run()

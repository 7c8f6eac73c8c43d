"""From a WebSocket scope to a ``Link``, by the best way the server offers."""

from __future__ import annotations

from wsgw.closecodes import POLICY_VIOLATION
from wsgw.fanout.link import Link, Receiver
from wsgw.transports.asgi import AsgiLink, Event, Receive, Send
from wsgw.transports.direct import DirectProtocol
from wsgw.transports.upgrading import EXTENSION


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


async def refuse(scope: Event, send: Send, status: int, body: bytes, content_type: str = "application/json") -> None:
    """Answer a WebSocket handshake with an HTTP response instead (RFC 6455 section 4.2.2), or 403 where ASGI cannot."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})

"""From an HTTP scope to an answer without end, by the best way the server offers."""

from __future__ import annotations

from wsgw.fanout.link import OneWayReceiver
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.asgistream import AsgiStream
from wsgw.transports.exchange import STREAM_EXTENSION, Exchange
from wsgw.transports.stream import StreamProtocol

Headers = list[tuple[bytes, bytes]]

StreamLink = StreamProtocol | AsgiStream


async def open_stream(
    scope: Event, receive: Receive, send: Send, receiver: OneWayReceiver, headers: Headers
) -> StreamLink:
    """Answer the request of ``scope`` with 200, ``headers`` and what is written to the link that is returned.

    Raises OSError when the client has gone. Nothing else runs between the answer's head and the return; the caller may
    write to the link at once, and must ``await link.run()`` next: the receiver hears nothing before.
    """
    exchange = scope.get("extensions", {}).get(STREAM_EXTENSION)
    if isinstance(exchange, Exchange):
        return exchange.stream(receiver, headers)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    return AsgiStream(receive, send, receiver)

"""What the Autobahn cases talk to: an echo on the gateway's own protocol class, and nothing else of the gateway.

``python tests/conformance/echo_app.py --port 9001`` (0 takes a free port); prints the port it listens on. ``/`` is
served by the direct path (``transports.direct``), ``/asgi`` by the plain ASGI path (``transports.asgi`` on uvicorn's
own protocol class); messages have up to 16 MiB, and there is no compression.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.publication import Encoded
from wsgw.metrics import Metrics
from wsgw.protocols.http1.head import Head
from wsgw.transports.accept import open_link
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http11 import HttpProtocol

ASGI_PATH = "/asgi"
MAX_MESSAGE_BYTES = 16 * 1024**2


class Echo:
    """A ``Receiver``: every message goes back, and so does the close. It reads no more than its client takes."""

    messages_at_a_time = 256

    link: Link

    def messages_received(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.link.write(Encoded(message))

    def close_received(self, code: int, reason: str) -> None:
        self.link.close(code, reason)

    def writing_paused(self) -> None:
        self.link.pause_reading()

    def writing_resumed(self) -> None:
        self.link.resume_reading()

    def lost(self, code: int) -> None:
        """Nothing is kept for it."""


async def echo(scope: Event, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "websocket":
        await send({"type": "http.response.start", "status": 404})
        await send({"type": "http.response.body"})
        return
    await receive()
    receiver = Echo()
    receiver.link = await open_link(scope, receive, send, receiver, MAX_MESSAGE_BYTES)
    await receiver.link.run()


class Connection(HttpProtocol):
    """A connection whose handshakes for ``ASGI_PATH`` are uvicorn's own protocol class'."""

    def _upgrade(self, head: Head) -> None:
        if head.path != ASGI_PATH:
            super()._upgrade(head)
            return
        rest = self._kept[self._at :]
        self._leave()
        lines = [b"GET %b HTTP/1.1" % head.target, *(b"%b: %b" % header for header in head.headers), b"", b""]
        protocol = WebSocketsSansIOProtocol(self._config, self._state, self._app_state)
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(b"\r\n".join(lines) + rest)


async def serve(port: int) -> None:
    # asyncio sets TCP_NODELAY only where the protocol is named
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        print(listener.getsockname()[1], flush=True)
        edge = Edge(LimitsSettings(), Metrics())
        config = uvicorn.Config(
            cast("Any", echo),
            http=cast("type[asyncio.Protocol]", partial(Connection, lambda: edge, ())),
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
        )
        await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9001)
    asyncio.run(serve(parser.parse_args().port))

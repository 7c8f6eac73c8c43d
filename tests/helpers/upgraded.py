"""Our protocol object of a WebSocket without a socket: given the head of a request, and looked at from both sides."""

from __future__ import annotations

from typing import Any

import uvicorn
from uvicorn.server import ServerState

from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.metrics import Metrics
from wsgw.protocols.http1.head import Head
from wsgw.transports.direct import DirectProtocol

#: Of a handshake that is accepted.
HEADERS = {
    b"host": b"a",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-version": b"13",
}


class FakeTransport:
    """What a protocol object sees of its socket; ``data`` is what it wrote."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> None: ...


class Waiting(DirectProtocol):
    """Its application is never called."""

    async def run_asgi(self) -> None: ...


def configured() -> tuple[uvicorn.Config, ServerState]:
    """What protocol objects are made of."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    config = uvicorn.Config(
        app, log_config=None, ws_per_message_deflate=False, ws_ping_interval=20.0, ws_ping_timeout=7.0
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"now"), (b"server", b"x"), (b"server", b"y")]
    return config, state


def upgraded(
    target: bytes = b"/", headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[Any, FakeTransport, Metrics]:
    """A protocol object that was given a head, its transport, and what was counted. Needs a running loop."""
    metrics, transport = Metrics(), FakeTransport()
    protocol: Any = Waiting(*configured(), {}, edge=Edge(LimitsSettings(), metrics))
    lines = [b"%b: %b\r\n" % header for header in (HEADERS.items() if headers is None else headers)]
    protocol.upgraded(transport, Head(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, b"".join(lines))), b"")
    return protocol, transport, metrics

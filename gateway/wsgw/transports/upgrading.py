"""uvicorn's WebSocket protocol object, from the head of the handshake's request to the accept.

The HTTP protocol has read that head, within its own bounds, and hands the connection over by ``upgraded``. RFC 6455
lets no client send anything before the answer (section 4.1), but some do. That is kept as it came, until frames are
taken apart; beyond a bound the client is not read, and below it it is, so that one that goes is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGISendEvent, WebSocketScope
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from wsgw.core.edge import Edge
from wsgw.errors import BAD_REQUEST
from wsgw.protocols.http1.head import Head
from wsgw.transports.closing import ClosingProtocol
from wsgw.transports.scope import scope_of

EXTENSION = "wsgw.direct"
#: Most that is kept of what a client sends before it is accepted.
EARLY_BYTES = 64 * 1024

#: What the library looks at.
OF_THE_HANDSHAKE = frozenset(
    {
        b"connection",
        b"upgrade",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
    }
)


class UpgradingProtocol(ClosingProtocol):
    """See the module. Implements ``Holder``.

    The application accepts it by ``accept`` (see ``transports.accept``), not by an ASGI message: those of a client
    that was accepted so would not reach it.
    """

    __slots__ = ("_early", "_edge", "_ended_early", "_head_bytes", "_kept_bytes")

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, edge: Edge) -> None:
        super().__init__(config, server_state, app_state)
        # the library would read the request; the generator that waits for it is a cycle with its object
        del self.conn.parser
        self._edge = edge
        self._early: bytearray | None = None
        self._ended_early = False  # the client ended its stream before it was accepted
        self._kept_bytes = 0
        self._head_bytes = 0  # of them, until the application has answered

    def upgraded(
        self, transport: asyncio.Transport, head: Head, rest: bytes, client: tuple[str, int] | None = None
    ) -> None:
        """Take over ``transport``, whose client sent ``head``, a GET with ``Upgrade: websocket``, and then ``rest``.

        It is that of ``client``, where that is not None.

        The caller sets the transport's protocol. A handshake that is none is answered and closed here.
        """
        self.connection_made(transport)
        if client is not None:
            self.client = client
        self.handshake_initiated = True
        looked_at = [(name, value.decode("latin-1")) for name, value in head.headers if name in OF_THE_HANDSHAKE]
        request = Request(head.path, Headers([(name.decode(), value) for name, value in looked_at]))
        response = self.conn.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._refuse(response, str(self.conn.handshake_exc))
            return
        self.response = response
        self.scope = cast(
            "WebSocketScope",
            {
                **scope_of("websocket", "2.4", head, self.config, self.app_state),
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "subprotocols": _tokens(value for name, value in looked_at if name == b"sec-websocket-protocol"),
                "extensions": {"websocket.http.response": {}, EXTENSION: self},
            },
        )
        self._head_bytes = head.kept_bytes
        if self._head_bytes:
            self._keep(0)
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)
        if rest:
            self.data_received(rest)

    def accept(self, subprotocol: str | None) -> None:
        """Answer the handshake, at once; raises OSError when the client has gone."""
        if self.transport.is_closing() or self.disconnected:
            raise ClientDisconnected
        response = self.response
        del self.response
        headers = response.headers
        del headers["Date"]
        for name, value in self.default_headers:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        self.handshake_complete = True
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.start_keepalive()

    # -- Holder

    def held_bytes(self) -> int:
        return self._kept_bytes

    def evict(self) -> None:
        self.abort()

    # -- uvicorn's side

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the accept."""
        if self.close_sent or self.disconnected:
            return
        if self._early is None:
            self._early = bytearray()
        self._early += data
        self._keep(len(self._early))
        if len(self._early) > EARLY_BYTES:
            self._fall_behind()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """The client ended its stream; what it sent before is still for whoever accepts it, but with TLS."""
        self._ended_early = self._early is not None and self.scheme != "wss"
        if self._ended_early:
            self._fall_behind()
        return self._ended_early

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.accept":
            raise RuntimeError("this server's WebSockets are accepted by wsgw.transports.accept.open_link")
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # the base class forgets it, and logs the refusal as a fault

    async def run_asgi(self) -> None:
        """As the base class', but a connection that was accepted lives on, and keeps nothing of the request."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application")
            self.send_500_response()
            if self._receiver is not None:
                self.abort()
        else:
            if not self.handshake_complete and not self.transport.is_closing():  # else the client has gone
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        del self.scope
        if self._head_bytes:
            kept, self._head_bytes = self._kept_bytes - self._head_bytes, 0
            self._keep(kept)
        if self._receiver is not None:
            del self.queue
        elif self.close_timer is None:
            self.transport.close()

    # -- for the subclass

    def _keep(self, size: int) -> None:
        """From now on ``size`` bytes are kept of what the client sent, beside its head."""
        size += self._head_bytes
        before, self._kept_bytes = self._kept_bytes, size
        self._edge.memory.change(self, before, size)

    def _stop_listening(self) -> None:
        self._early = None
        if self._kept_bytes:
            self._keep(0)
        if self._behind:
            self._caught_up()

    def _caught_up(self) -> None:
        if self._ended_early:
            self._behind = False  # there is nothing to read
        else:
            super()._caught_up()

    # -- inside

    def _refuse(self, response: Response, why: str) -> None:
        self._edge.refused(BAD_REQUEST.name, "a WebSocket handshake: %s", why)
        self.handshake_complete = True
        self.close_sent = True
        self.transport.write(response.serialize())
        self.transport.close()


def _tokens(values: Iterable[str]) -> list[str]:
    return [token.strip() for value in values for token in value.split(",")]

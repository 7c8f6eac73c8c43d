"""A connection over which HTTP/1.1 is spoken, below its requests: bytes, clocks, room for it, and its end.

``transports.http11`` takes requests out of what comes. Only uvicorn's ``Config`` and ``ServerState`` are used.

Every wait for the client has a clock: for a head, in a body, between requests, for an answer to be taken. While the
gateway owes the answer none runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, is_ssl
from uvicorn.server import ServerState

from wsgw.access.pages import SAFE
from wsgw.config.proxies import UNIX
from wsgw.core.edge import Edge
from wsgw.errors import BAD_REQUEST, NO_FILES, NO_MEMORY, REQUEST_TIMEOUT, Kind
from wsgw.protocols.http1.head import Head
from wsgw.shares.files import Standing
from wsgw.transports.clock import NEVER, Clock
from wsgw.transports.exchange import Exchange, refusal, refusal_of_events
from wsgw.transports.peer import is_unix, peer_of

#: A client that takes less of an answer does not take it.
LEAST_BYTES_PER_SECOND = 1024
#: How long a connection that came in the reserve of files has for its head.
SHORT_SECONDS = 1.0
#: What is still read, and for how long, of a client that is not listened to any more: one that is closed with bytes
#: unread is reset, and the answer lost (RFC 9112 section 9.6).
LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 5.0


class Came(Protocol):
    """A connection, as ``came`` takes it."""

    def abort(self) -> None:
        """Drop it."""


def came(edge: Edge, state: ServerState, connection: Came) -> Standing | None:
    """``connection`` came, and is one of the server's from now on. How it stands; None where it is to be dropped."""
    state.connections.add(cast("Any", connection))
    files = edge.files
    files.connections = state.connections
    standing = files.standing()
    if standing is Standing.NONE:
        edge.refused(NO_FILES.name, "%d of %d files are open; one is closed at once", files.open, files.limit)
        if not files.make_room():
            return None
    files.idle[connection] = None
    return standing


class HttpConnection(asyncio.Protocol):
    """See the module. ``edge_of`` is asked once there is a connection.

    Implements, with its subclass, ``exchange.Connection``; and ``memory.Holder`` while much of what came waits.
    """

    __slots__ = (
        "_app_state",
        "_at",
        "_buffered",
        "_client",
        "_clock",
        "_config",
        "_edge",
        "_edge_of",
        "_exchange",
        "_fresh",
        "_head_bytes",
        "_held",
        "_kept",
        "_lingered",
        "_lingering",
        "_loop",
        "_paused",
        "_scheme",
        "_server",
        "_short",
        "_state",
        "_total_due",
        "_transport",
        "_writable",
        "_written",
    )

    def __init__(
        self,
        edge_of: Callable[[], Edge],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._edge_of = edge_of
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = loop
        self._exchange: Exchange | None = None  # the request that is under way
        self._total_due = NEVER  # of its body
        self._kept = b""  # what came and cannot be taken yet, from ``_at`` on
        self._at = 0
        self._head_bytes = 0  # of the request that is under way, where they are many
        self._held = 0  # bytes, as counted in the memory of all
        self._fresh = True  # no head has come yet
        self._short = False
        self._paused = False
        self._writable = True
        self._written: asyncio.Future[None] | None = None
        self._buffered = 0  # written and not taken, when that was looked at last
        self._lingering = False
        self._lingered = 0

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server = get_local_addr(self._transport)
        self._client = peer_of(self._transport)
        self._scheme = "https" if is_ssl(self._transport) else "http"
        self._edge = self._edge_of()
        self._clock = Clock(self._loop, self._expired)
        standing = came(self._edge, self._state, self)
        if standing is None or (self._client is None and not is_unix(self._server)):
            self._transport.abort()  # or is reset already: what was sent before would be nobody's, whom nothing limits
            return
        self._short = standing is not Standing.FREE
        self._set_clock(SHORT_SECONDS if self._short else self._edge.limits.head_timeout)

    def due_by(self, due: float) -> None:
        """The first head has to be there when the loop's clock says ``due``, if not before."""
        self._clock.set(min(due, self._clock.due))

    def comes_from(self, client: tuple[str, int]) -> None:
        """A proxy passes it on: ``client`` is whose it is (address and port)."""
        self._client = client

    def turn_away(self, why: str) -> None:
        """Nothing can be made of what comes: answer 400 and end."""
        self._refuse(BAD_REQUEST, "%s", why)

    def eof_received(self) -> None:
        """Who sends no more is gone, as far as one can tell: of who waits for a poll nothing else comes either.

        The transport closes itself.
        """

    def pause_writing(self) -> None:
        self._writable = False
        self._buffered = self._transport.get_write_buffer_size()
        self._account()
        if not self._lingering:
            self._set_clock(self._edge.limits.body_stall_timeout)

    def resume_writing(self) -> None:
        self._writable = True
        written, self._written = self._written, None
        if written is not None and not written.done():
            written.set_result(None)
        self._account()
        if not self._lingering:
            self._ready()

    # -- exchange.Connection

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self._state.default_headers

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def written(self) -> None:
        while not self._writable:
            if self._written is None or self._written.done():
                self._written = self._loop.create_future()
            await self._written

    def abort(self) -> None:
        self._transport.abort()

    # -- memory.Holder

    def held_bytes(self) -> int:
        return self._held

    def evict(self) -> None:
        self._edge.refused(NO_MEMORY.name, "a connection was ended on which %d bytes waited", self._held)
        self._kept = b""
        if self._exchange is not None:
            self._exchange.lose()  # first: without its body a request that is complete were one with an empty body
            self._exchange.body.clear()
        self._account()
        self._transport.abort()

    # -- for the subclass

    def _ready(self) -> None:
        """The client has taken what was written: its turn, or that of what is kept."""
        raise NotImplementedError

    def _linger(self, data: bytes) -> None:
        """What comes is not listened to any more."""
        self._lingered += len(data)
        if self._lingered > LINGER_BYTES:
            self._transport.abort()

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _account(self) -> None:
        """Tell what waits to the memory of all."""
        exchange = self._exchange
        held = len(self._kept) + (0 if self._writable else self._buffered)
        if exchange is not None:
            held += self._head_bytes + len(exchange.body)
        if held != self._held:
            before, self._held = self._held, held
            self._edge.memory.change(self, before, held)

    def _set_clock(self, seconds: float) -> None:
        self._clock.set(self._loop.time() + seconds)

    def _body_clock(self, exchange: Exchange) -> None:
        """The client is to send more of a body, unless it waits to be asked for it, or we do not read."""
        if not self._writable:
            return  # it is to take the answer, first
        if exchange.body_complete or exchange.expects or self._paused:
            self._clock.set(NEVER)
        else:
            self._clock.set(min(self._loop.time() + self._edge.limits.body_stall_timeout, self._total_due))

    def _refuse(self, kind: Kind, detail: str, *args: object, head: Head | None = None) -> None:
        """Answer with ``kind``, for which ``detail`` formatted with ``args`` says why, and end the connection.

        ``head`` is that of the request where it is whole: its page is to read why, and an EventSource may come again.
        """
        self._edge.refused(kind.name, detail, *args)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose()
            if exchange.started:
                self._transport.abort()
                return
        common = exchange.common if exchange is not None else SAFE
        if head is not None:
            peer = UNIX if self._client is None else self._client[0]
            asked = self._edge.proxies.caller(peer, head.headers).asked
            common = self._edge.pages.look(head.headers, asked=asked).headers
        answer = refusal_of_events if head is not None and head.wants_events else refusal
        self.write(answer(kind, detail % args, self.default_headers + common))
        self._finish(unread=not self._short)

    def _finish(self, *, unread: bool) -> None:
        """End the connection when what was written is out; where something is ``unread``, after reading a while."""
        self._lingering = True
        self._edge.files.idle[self] = None
        self._kept = b""
        self._account()
        self._resume()
        self._buffered = self._transport.get_write_buffer_size()
        self._set_clock(self._edge.limits.body_stall_timeout if self._buffered else LINGER_SECONDS)
        if not unread:
            self._transport.close()
        elif self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    # -- inside

    def _expired(self) -> None:
        """The client did not do in time what was its to do."""
        limits = self._edge.limits
        if self._lingering or not self._writable:
            left = self._transport.get_write_buffer_size()
            if self._buffered - left >= LEAST_BYTES_PER_SECOND * limits.body_stall_timeout:  # slowly, but it is taken
                self._buffered = left
                self._account()
                self._set_clock(limits.body_stall_timeout)
                return
            if left:
                self._edge.refused(REQUEST_TIMEOUT.name, "an answer was not taken, %d bytes of it wait", left)
            self._transport.abort()
        elif self._exchange is not None:
            self._refuse(REQUEST_TIMEOUT, "the body did not come in time")
        elif self._kept:
            self._refuse(REQUEST_TIMEOUT, "the head of a request did not come in time, but %d bytes", len(self._kept))
        else:
            if self._fresh:
                self._edge.refused(REQUEST_TIMEOUT.name, "a connection on which nothing came")
            self._finish(unread=False)  # nothing was asked, here or since the last answer: nothing to be told

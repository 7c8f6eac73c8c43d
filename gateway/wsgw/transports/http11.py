"""A connection over which HTTP/1.1 is spoken (RFC 9112), in uvicorn's seam (``uvicorn.Config(http=...)``).

Written anew, and not derived from uvicorn's class. That one hands the parser whatever comes: requests are taken apart,
and objects made for them, before the one in front of them is answered, and nothing that comes is counted. Here a head
is found and bounded before it is parsed, one request is under way at a time, and what comes behind it stays bytes; so
a connection can also be cut between two requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from wsgw.core.edge import Edge
from wsgw.errors import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    NO_FILES,
    NO_MEMORY,
    URI_TOO_LONG,
)
from wsgw.fanout.link import OneWayReceiver
from wsgw.protocols.http1.chunked import BodyError, TrailersTooLarge
from wsgw.protocols.http1.head import END, LINE_END, MAX_LIST_ITEMS, Head, HeadError, TargetTooLong
from wsgw.transports.clock import NEVER
from wsgw.transports.connection import HttpConnection
from wsgw.transports.direct import DirectProtocol
from wsgw.transports.exchange import BODY_HIGH_WATER_BYTES, STREAM_EXTENSION, Exchange
from wsgw.transports.incoming import IncomingBody
from wsgw.transports.proxied import why_none
from wsgw.transports.scope import scope_of
from wsgw.transports.stream import StreamProtocol
from wsgw.transports.upgrading import OF_THE_HANDSHAKE

#: Above it nothing more is read while a request is under way: of those behind it.
AHEAD_BYTES = 64 * 1024
_BEGINNING = re.compile(rb"(?!PROXY )[A-Z-]{0,20}(?: |\Z)|\r?\Z")
#: What a request costs for which a turn was waited, about; the application's part comes later.
REQUEST_SECONDS = 0.0005
#: What is looked at of a request to know whether it is answered in any need.
MOST_URGENT_BYTES = 128
#: Blank lines in front of a request that are passed over (RFC 9112 section 2.2).
BLANK_LINES = 2


def http_class(edge_of: Callable[[], Edge], always: Collection[str] = ()) -> type[asyncio.Protocol]:
    """What ``uvicorn.Config(http=...)`` takes; see ``HttpProtocol`` for the arguments."""
    return cast("type[asyncio.Protocol]", partial(HttpProtocol, edge_of, always))


class HttpProtocol(HttpConnection):
    """See the module. ``edge_of`` is asked once there is a connection; ``always`` are the paths answered in any need.

    Implements ``exchange.Connection``.
    """

    __slots__ = ("_always", "_body", "_deferred", "_scanned", "_stopping", "_tried", "_until")

    def __init__(
        self,
        edge_of: Callable[[], Edge],
        always: Collection[str],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(edge_of, config, server_state, app_state, _loop or asyncio.get_running_loop())
        self._always = always
        self._body: IncomingBody | None = None  # of the request, where it has one
        self._scanned = 0  # of what is kept, for the end of a head
        self._tried = False  # what is kept is no whole, and waits for more
        self._deferred = False  # until others had their turn
        self._until = 0.0  # in a turn: when it ends
        self._stopping = False

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._linger(data)
            return
        if self._kept:
            data = self._kept[self._at :] + data
        self._kept, self._at = data, 0
        if self._is_blocked():
            self._bound_ahead()
        elif self._fresh and self._edge.slices.spent() and data.find(END) >= 0 and not self._is_urgent(data):
            self._clock.set(NEVER)  # it has done its part
            self._defer()  # many come at once: who is there already is served in between
        elif self._exchange is not None or not self._tried or data.find(END, max(0, self._scanned - len(END))) >= 0:
            self._proceed()
        else:
            self._scanned = len(data)
            self._check_head(data, 0)
        self._account()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast("Any", self))
        self._clock.stop()
        self._edge.files.idle.pop(self, None)
        self._lingering = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose()
        self._body = None
        self._kept = b""
        self.resume_writing()

    # -- exchange.Connection

    def took_body(self) -> None:
        exchange = self._exchange
        if exchange is None or self._lingering:
            return
        if not self._is_blocked():
            if self._kept and not self._tried:
                self._loop.call_soon(self._go_on)
            elif self._paused or self._clock.due == NEVER:
                self._resume()
                self._body_clock(exchange)
        self._account()

    def answered(self, *, keep_alive: bool) -> None:
        self._state.total_requests += 1
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        self._body = None
        self._edge.files.idle[self] = None
        self._account()
        if not keep_alive or self._stopping:
            self._finish(unread=not exchange.body_complete or bool(self._kept) or self._paused)
        elif self._writable:
            self._ready()

    def stream(self, receiver: OneWayReceiver, *, chunked: bool) -> StreamProtocol:
        self._state.total_requests += 1
        self._exchange = self._body = None
        self._leave()
        self._account()
        self._lingering = True
        return StreamProtocol(self._transport, cast("Any", self._state.connections), receiver, chunked=chunked)

    # -- uvicorn's server

    def shutdown(self) -> None:
        """The server stops: what is under way is answered."""
        self._stopping = True
        if self._lingering:
            if not self._transport.get_write_buffer_size():
                self._transport.abort()
        elif self._exchange is None:
            self._finish(unread=False)
        else:
            self._exchange.close_after()

    # -- taking apart what came

    def _is_blocked(self) -> bool:
        """What comes is kept: an answer is owed, or to be taken by the client or (a body) the application, first."""
        exchange = self._exchange
        if self._deferred or not self._writable:
            return True
        return exchange is not None and (exchange.body_complete or len(exchange.body) > BODY_HIGH_WATER_BYTES)

    def _go_on(self) -> None:
        """Take what is kept."""
        if self._kept and not self._lingering and not self._is_blocked():
            self._proceed()
            self._account()
        if not self._lingering and not self._is_blocked():
            self._resume()

    def _proceed(self) -> None:
        """Take of what is kept what can be taken now."""
        self._tried = False
        while self._at < len(self._kept) and not self._is_blocked():
            exchange, before = self._exchange, self._at
            if not (self._read_head(self._kept) if exchange is None else self._read_body(exchange, self._kept)):
                return  # the connection is none of HTTP any more, or is ended
            if self._at == before:
                self._tried = True
                break
        if self._tried or 2 * self._at > len(self._kept):  # not each time: a read may hold thousands of requests
            self._kept, self._at = self._kept[self._at :], 0
        self._scanned = len(self._kept)
        if self._kept and self._is_blocked():
            self._bound_ahead()

    def _bound_ahead(self) -> None:
        """Read no more while so much waits behind a request; enough that a client that goes is noticed."""
        kept, at = self._kept, self._at
        if not self._paused and (
            len(kept) - at > AHEAD_BYTES or kept.count(END, at) >= self._edge.limits.pipelined_requests
        ):
            self._pause()

    def _read_head(self, data: bytes) -> bool:
        """Take a head; False when the connection is none of HTTP any more."""
        at = self._at
        for _ in range(BLANK_LINES):
            if data.startswith(LINE_END, at):
                at += len(LINE_END)
        if at == len(data):
            self._at = at
            return True
        end = data.find(END, at)
        if end < 0:
            if not self._check_head(data, at):
                return False
            if _BEGINNING.match(data, at) is None:  # TLS, say: its client is not to wait until the clock runs out
                self.turn_away(why_none(data[self._at :], self._client, "what came is no request of HTTP/1.1"))
                return False
            if not self._fresh:
                self._set_clock(self._edge.limits.head_timeout)
            return True
        stop = end + len(END)
        if not self._check_head(data, at, stop):
            return False
        try:
            head = Head(data[at:stop])
        except TargetTooLong as error:
            self._refuse(URI_TOO_LONG, str(error))
            return False
        except HeadError as error:
            self.turn_away(why_none(data[self._at :], self._client, str(error)))
            return False
        self._fresh = False
        self._edge.files.idle.pop(self, None)
        if not self._is_welcome(head):
            return False
        self._at = stop
        if head.upgrades:
            self._upgrade(head)
            return False
        self._begin(head)
        return True

    def _check_head(self, data: bytes, at: int, stop: int | None = None) -> bool:
        """Whether a head from ``at`` to ``stop`` (None: not complete) is within the limits; else it is refused."""
        limits = self._edge.limits
        size = (len(data) if stop is None else stop) - at
        if size > limits.head_bytes:
            one_line = data.find(LINE_END, at, at + limits.head_bytes) < 0
            kind = URI_TOO_LONG if one_line else HEADERS_TOO_LARGE
            self._refuse(kind, "the head of a request has at most %d bytes here", limits.head_bytes)
            return False
        if stop is not None and data.count(LINE_END, at, stop) - 2 > limits.headers:
            self._refuse(HEADERS_TOO_LARGE, "a request has at most %d headers here", limits.headers)
            return False
        return True

    def _is_welcome(self, head: Head) -> bool:
        """Whether there is room for what ``head`` asks for; else it is refused."""
        if head.path in self._always and head.body_bytes == 0:
            head.keeps_alive = head.keeps_alive and not self._short
            return True
        if self._short:
            files = self._edge.files
            detail = "%d of %d files are open, and the rest is kept free"
            self._refuse(NO_FILES, detail, files.open, files.limit, head=head)
            return False
        if head.body_bytes != 0 and self._edge.memory.full:
            self._refuse(NO_MEMORY, "%d bytes are kept for clients", self._edge.memory.used_bytes, head=head)
            return False
        return True

    def _upgrade(self, head: Head) -> None:
        if head.method != "GET" or head.version != "1.1" or head.body_bytes != 0:
            self._refuse(BAD_REQUEST, "a WebSocket handshake is a GET of HTTP/1.1 without a body")
            return
        items = sum([value.count(b",") + 1 for name, value in head.headers if name in OF_THE_HANDSHAKE])
        if items > MAX_LIST_ITEMS:
            self._refuse(BAD_REQUEST, "a WebSocket handshake lists at most %d things here", MAX_LIST_ITEMS)
            return
        rest = self._kept[self._at :]
        self._leave()
        protocol = DirectProtocol(self._config, self._state, self._app_state, edge=self._edge)
        protocol.upgraded(self._transport, head, rest, self._client)
        self._transport.set_protocol(protocol)

    def _leave(self) -> None:
        """Another protocol has the connection from now on."""
        self._kept = b""
        self._clock.stop()
        self._resume()
        self._state.connections.discard(cast("Any", self))

    def _begin(self, head: Head) -> None:
        """The head of a request came: have it answered."""
        limits = self._edge.limits
        self._head_bytes = head.kept_bytes
        exchange = self._exchange = Exchange(self, head)
        if self._stopping:
            exchange.close_after()
        if head.body_bytes == 0:
            self._clock.set(NEVER)
        else:
            self._total_due = self._loop.time() + limits.body_timeout
            self._body = IncomingBody(head, limits)
            self._body_clock(exchange)
        scope = {
            **scope_of("http", "2.3", head, self._config, self._app_state),
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": head.method,
            "extensions": {STREAM_EXTENSION: exchange},
        }
        task = self._loop.create_task(exchange.run(self._config.loaded_app, scope))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _read_body(self, exchange: Exchange, data: bytes) -> bool:
        """Take of a body; False when it is none, and refused."""
        body, before = self._body, self._at
        assert body is not None
        try:
            self._at, is_over = body.take(data, before, exchange, self._edge.slices, self._until)
        except BodyError as error:
            self._refuse(BAD_REQUEST, str(error))
            return False
        except TrailersTooLarge:
            self._refuse(HEADERS_TOO_LARGE, "the trailers of a request count as headers, and are too large")
            return False
        if is_over:
            self._pause()
            self._defer()
        if exchange.body_complete:
            self._resume()  # behind it a client that goes is to be noticed
        elif len(exchange.body) > BODY_HIGH_WATER_BYTES:
            self._pause()
        if self._at > before:
            self._body_clock(exchange)
            exchange.wake()
        return True

    def _is_urgent(self, data: bytes) -> bool:
        """Whether what comes is a health check or the like."""
        _, _, target = data[:MOST_URGENT_BYTES].partition(b" ")
        return target.split(b" ", 1)[0].split(b"?", 1)[0].decode("latin-1") in self._always

    def _defer(self) -> None:
        """Others first."""
        if not self._deferred:
            self._deferred = True
            self._edge.slices.queue(self._had_its_turn)

    def _had_its_turn(self, until: float) -> bool:
        idle = self._exchange is None
        self._deferred, self._until = False, until
        self._go_on()
        self._until = 0.0
        if idle and (self._exchange is not None or self._transport.get_protocol() is not self):
            self._edge.slices.charge(REQUEST_SECONDS)
        return False

    # -- reading, clocks and the end

    def _ready(self) -> None:
        """An answer is out, and taken: for the next request."""
        exchange = self._exchange
        if exchange is not None:
            self._body_clock(exchange)
        else:
            self._set_clock(self._edge.limits.idle_timeout)
            if self._kept:
                self._defer()
                return
        if not self._is_blocked():
            self._resume()

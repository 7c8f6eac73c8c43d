"""From a connection that is to speak TLS to one that speaks HTTP/1.1 within it.

The handshake is begun by hand (``loop.start_tls``), not by the listener: so a connection counts from its first moment
on among those that are open, has its deadline for handshake and head together, and waits for its turn where many come,
for a handshake costs as much as a hundred requests. And who speaks plain HTTP here is told so.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from uvicorn.server import ServerState

from wsgw.access.pages import SAFE
from wsgw.core.edge import Edge
from wsgw.errors import BAD_REQUEST, REQUEST_TIMEOUT
from wsgw.fanout.link import CLOSE_TIMEOUT_SECONDS
from wsgw.shares.files import Standing
from wsgw.transports.clock import Clock
from wsgw.transports.connection import LINGER_SECONDS, SHORT_SECONDS, HttpConnection, came
from wsgw.transports.exchange import refusal
from wsgw.transports.peer import peer_of
from wsgw.transports.proxied import why_none
from wsgw.transports.tlsreads import TlsReads

#: The first byte of a TLS handshake (RFC 8446 section 5.1).
HANDSHAKE = 0x16
#: Of what was read and not taken apart, while nobody wants to read: whatever a read has brought is enough.
READ_AHEAD_BYTES = 1
LEAST_SECONDS = 0.05
NOT_TLS = "TLS is spoken here: ask by https:// or wss://"


class TlsTransport(asyncio.Transport):
    """``secured``, of which what waits in ``raw`` below it counts, too."""

    __slots__ = ("_held", "_paused", "_raw", "_secured", "write")

    def __init__(self, secured: asyncio.Transport, raw: asyncio.Transport) -> None:
        super().__init__()
        self._secured = secured
        self._raw = raw
        self._paused = self._held = False
        self.write = secured.write  # type: ignore[method-assign]  # each publication comes this way

    def get_write_buffer_size(self) -> int:
        return self._secured.get_write_buffer_size() + self._raw.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._secured.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._secured.is_closing()

    def close(self) -> None:
        self._secured.close()

    def abort(self) -> None:
        self._secured.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._secured.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._secured.get_protocol()

    def is_reading(self) -> bool:
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._secured.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._held:
            self._secured.resume_reading()

    def hold(self) -> None:
        """Take nothing apart of what comes, until ``release``, whether it is wanted or not."""
        self._held = True
        self._secured.pause_reading()

    def release(self) -> None:
        """Undo ``hold``."""
        self._held = False
        if not self._paused and not self.is_closing():
            self._secured.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._secured.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._secured.get_write_buffer_limits()

    def writelines(self, list_of_data: Any) -> None:
        self._secured.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        raise NotImplementedError("TLS has no half of a connection that is closed")

    def can_write_eof(self) -> bool:
        return False


class TlsEntrance(asyncio.Protocol):
    """See the module. ``make`` makes the protocol within, and ``context`` has the certificate."""

    def __init__(
        self,
        edge_of: Callable[[], Edge],
        context: ssl.SSLContext,
        make: Callable[[], HttpConnection],
        state: ServerState,
    ) -> None:
        self._edge_of = edge_of
        self._context = context
        self._make = make
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._came = b""  # and not taken: of the handshake, then of what is within
        self._begun = False  # the handshake, or the answer to who wants none
        self._told = False  # that TLS is spoken here
        self._client: tuple[str, int] | None = None  # whose it is, if a proxy says that
        self._reads: TlsReads | None = None
        self._lost = False

    # -- asyncio.Protocol, of the connection and then of what is within

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)
        self._edge = self._edge_of()
        self._clock = Clock(self._loop, self._expired)
        standing = came(self._edge, self._state, self)
        if standing is None:
            self._raw.abort()
            return
        short = standing is not Standing.FREE
        self._due = self._loop.time() + (SHORT_SECONDS if short else self._edge.limits.head_timeout)
        self._clock.set(self._due)

    def data_received(self, data: bytes) -> None:
        if self._told:
            return
        self._came += data
        if self._begun:
            return  # of the handshake, before ``start_tls`` reads; or of what is within, before ``_enter``
        self._begun = True
        if data[0] != HANDSHAKE:
            self._tell(why_none(data, peer_of(self._raw), "what came is no TLS"), NOT_TLS)
            return
        # until ``start_tls`` reads: an end that came before it began would leave the protocol of TLS with its clock
        self._raw.pause_reading()
        if self._edge.slices.spent():
            self._edge.handshakes.queue(self._had_its_turn)
        else:
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._leave()

    # -- of a proxy that passes it on

    def comes_from(self, client: tuple[str, int]) -> None:
        self._client = client

    def turn_away(self, why: str) -> None:
        self._tell(why, why)

    # -- uvicorn's server, and those who make room

    def shutdown(self) -> None:
        """The server stops: nothing was asked yet."""
        self._raw.abort()

    def abort(self) -> None:
        self._raw.abort()

    # -- inside

    def _leave(self) -> None:
        self._clock.stop()
        self._state.connections.discard(cast("Any", self))
        self._edge.files.idle.pop(self, None)

    def _expired(self) -> None:
        if not self._told:
            self._edge.refused(REQUEST_TIMEOUT.name, "a connection on which no TLS handshake came")
        self._raw.abort()

    def _tell(self, why: str, message: str) -> None:
        """Answer who speaks plain HTTP. What still comes is read for a while, else the answer were lost."""
        self._told = True
        self._came = b""
        self._edge.refused(BAD_REQUEST.name, "%s", why)
        self._raw.write(refusal(BAD_REQUEST, message, self._state.default_headers + SAFE))
        self._raw.write_eof()
        self._clock.set(self._loop.time() + LINGER_SECONDS)

    def _had_its_turn(self) -> bool:
        if self._lost or self._raw.is_closing():
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        task = self._loop.create_task(self._shake_hands(), name="a TLS handshake")
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _shake_hands(self) -> None:
        if self._lost or self._raw.is_closing():
            return
        self._clock.stop()
        left = max(LEAST_SECONDS, self._due - self._loop.time())
        starting = self._loop.create_task(
            self._loop.start_tls(
                self._raw,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=left,
                ssl_shutdown_timeout=CLOSE_TIMEOUT_SECONDS,
            )
        )
        try:
            await asyncio.sleep(0)  # it has scheduled how it begins to read, and what came is to be there just before
            self._loop.call_soon(self._feed)
            secured = await starting
        except (OSError, RuntimeError) as error:  # SSLError is an OSError; RuntimeError: the connection was closing
            self._failed(error)
        except BaseException:
            starting.cancel()
            self._raw.abort()
            self._leave()
            raise
        else:
            self._enter(secured)

    def _feed(self) -> None:
        """Give what came to the protocol of the handshake, as if it were read now."""
        protocol = self._raw.get_protocol()
        data, self._came = memoryview(self._came), b""
        if protocol is self or self._raw.is_closing():
            return
        buffered = self._reads = TlsReads(cast("asyncio.BufferedProtocol", protocol), self._raw, self._edge.slices)
        self._raw.set_protocol(buffered)
        while data:
            room = memoryview(buffered.get_buffer(len(data)))
            size = min(len(room), len(data))
            room[:size] = data[:size]
            buffered.buffer_updated(size)
            data = data[size:]

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ConnectionAbortedError):  # of ``start_tls`` alone, and its timer may be a little early
            self._edge.refused(REQUEST_TIMEOUT.name, "a TLS handshake did not come to its end in time")
        elif isinstance(error, ssl.SSLError):
            reason = (error.reason or "failed").lower().replace("_", " ")
            self._edge.refused(BAD_REQUEST.name, "a TLS handshake: %s", reason)
        error.__traceback__ = None
        self._raw.abort()
        self._leave()

    def _enter(self, secured: asyncio.Transport | None) -> None:
        self._leave()
        if self._lost or secured is None or secured.is_closing():  # lost, and that is not told yet: it is told us
            return
        cast("Any", secured).set_read_buffer_limits(READ_AHEAD_BYTES)
        transport = TlsTransport(secured, self._raw)
        if self._reads is not None:
            self._reads.entered(transport)
        within = self._make()
        transport.set_protocol(within)
        within.connection_made(transport)
        within.due_by(self._due)
        if self._client is not None:
            within.comes_from(self._client)
        data, self._came = self._came, b""
        if data and not transport.is_closing():  # there may have been no room for it
            within.data_received(data)

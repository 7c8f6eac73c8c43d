"""An answer of HTTP without end as a ``OneWayLink``: no ASGI message, task or await per delivery.

The connection that the request came by (``transports.http11``) becomes this one's, for good: it ends with the answer,
and what the client sends behind the request is not listened to.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from wsgw.closecodes import ABNORMAL, GOING_AWAY, NO_STATUS
from wsgw.fanout.link import CLOSE_TIMEOUT_SECONDS, WRITE_HIGH_WATER_BYTES, OneWayReceiver
from wsgw.fanout.publication import Batch, Encoded
from wsgw.transports.receivers import tell

#: Above it a client that sends behind its request is not read from any more.
UNHEARD_BYTES = 64 * 1024
#: How long a client may acknowledge nothing of what it was sent, or have no room for more; then the system drops the
#: connection. Who takes 1 KB a second may have none for a minute.
SILENT_SECONDS = 90.0
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # of Linux (RFC 5482)


class StreamProtocol(asyncio.Protocol):
    """See the module. ``connections`` are the server's; ``chunked`` says how the end of the answer is told.

    ``quiet`` is set to 0 by each write, and counted up by whoever looks.
    """

    __slots__ = (
        "_chunked",
        "_code",
        "_connections",
        "_ending",
        "_receiver",
        "_transport",
        "_unheard",
        "_writes",
        "quiet",
    )

    def __init__(
        self, transport: asyncio.Transport, connections: set[Any], receiver: OneWayReceiver, *, chunked: bool
    ) -> None:
        self._transport = transport
        self._connections = connections
        self._receiver: OneWayReceiver | None = receiver
        self._chunked = chunked
        self._code = ABNORMAL
        self._writes = not transport.is_closing()
        self._ending: asyncio.TimerHandle | None = None
        self._unheard = 0
        self.quiet = 0
        connections.add(self)
        transport.set_protocol(self)
        if self._writes:
            transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
            self._bound_silence()

    # -- OneWayLink

    async def run(self) -> None:
        """Return: it lives on without the application's task."""

    def write(self, item: Encoded) -> None:
        if self._writes:
            self.quiet = 0
            data = item.data
            if self._chunked:  # in parts: joined, each client's transport would keep bytes of its own of what all have
                self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
            else:
                self._transport.write(data)

    def write_batch(self, batch: Batch) -> None:
        if self._writes:
            self.quiet = 0
            self._transport.write(batch.chunk if self._chunked else batch.data)

    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        if not self._writes:
            return
        self._writes = False
        self._code = code
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        self._transport.close()
        self._ending = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self._transport.abort)

    def abort(self) -> None:
        self._writes = False
        self._transport.abort()

    # -- for whoever opens it

    def begin(self, head: bytes) -> None:
        """Write the answer's head."""
        self._transport.write(head)

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._unheard += len(data)
        if self._unheard > UNHEARD_BYTES and not self._transport.is_closing():
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Who sends no more is gone, as far as one can tell (see ``HttpConnection``), and takes nothing any more."""
        if self._writes:
            self._code = NO_STATUS
            self.abort()

    def pause_writing(self) -> None:
        if self._receiver is not None:
            tell(self, self._receiver.writing_paused)

    def resume_writing(self) -> None:
        if self._receiver is not None:
            tell(self, self._receiver.writing_resumed)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writes = False
        self._connections.discard(self)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            tell(self, receiver.lost, self._code)

    # -- uvicorn's server

    def shutdown(self) -> None:
        """The server stops."""
        self.close(GOING_AWAY)

    # -- inside

    def _bound_silence(self) -> None:
        """A client that vanished sends nothing, and is asked for nothing: only the system sees it."""
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if _USER_TIMEOUT is not None and connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(SILENT_SECONDS * 1000))

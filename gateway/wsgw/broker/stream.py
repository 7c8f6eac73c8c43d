"""The bytes of a connection to NATS, taken from the transport as they come, past the library's stream and task.

The library's stream protocol stays behind: it hears of a full buffer and of the end, which is what it writes by.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from nats.aio.transport import TcpTransport
from nats.errors import ProtocolError, UnexpectedEOF

from wsgw.broker.parser import Deliver, DirectParser
from wsgw.broker.violation import PermissionViolation
from wsgw.fanout.turn import Turn

#: Lines for the library that wait; a server that sends so many at a time is none.
MAX_LINES = 65_536


class Stream(asyncio.Protocol):
    """Reads from ``tcp`` within runs of ``turn``. See ``DirectParser`` for who gets what, the rest is for the library.

    Call ``start`` first, which takes what the library's stream has read.
    """

    def __init__(
        self,
        tcp: TcpTransport,
        direct: Mapping[bytes, Deliver],
        on_refusal: Callable[[PermissionViolation], None],
        expects: Callable[[bytes], bool],
        turn: Turn,
    ) -> None:
        reader, writer = tcp._io_reader, tcp._io_writer
        assert reader is not None
        assert writer is not None
        self._reader = reader
        self._transport = cast("asyncio.Transport", writer.transport)
        self._below = cast("asyncio.StreamReaderProtocol", writer.transport.get_protocol())
        self._parser = DirectParser(direct, on_refusal, self._line_received, expects)
        self._turn = turn
        self._lines: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._error: Exception | None = None
        self._held = False
        #: in seconds of ``time.monotonic``: when NATS was heard last, or could be heard again
        self.heard_at = time.monotonic()

    def start(self) -> None:
        """Take over; raises OSError when the connection has been lost already."""
        self._transport.set_protocol(self)
        while (read := _read_now(self._reader)) is not None:
            if not read:
                self._end(UnexpectedEOF())
                return
            self.data_received(read)

    async def next_line(self) -> bytes:
        """The next line for the library; raises what ended the stream (UnexpectedEOF, ProtocolError, OSError)."""
        while not self._lines:
            if self._error is not None:
                raise self._error
            self._wake.clear()
            await self._wake.wait()
        return self._lines.popleft()

    def write(self, lines: bytes) -> None:
        """Write protocol lines; does nothing when the connection is lost, which the library may not know yet."""
        if self._error is None and not self._transport.is_closing():
            self._transport.write(lines)

    @property
    def held(self) -> bool:
        """Between ``hold`` and ``release``."""
        return self._held

    def hold(self) -> None:
        """Read nothing until ``release``; harmless when it is so."""
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        if self._held and not self._transport.is_closing():
            self._held = False
            self.heard_at = time.monotonic()
            self._transport.resume_reading()

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        if self._error is None:
            try:
                self._turn.run(self._parser.feed, data)
            except ProtocolError as error:
                self._end(error)

    def eof_received(self) -> None:
        self._end(UnexpectedEOF())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or UnexpectedEOF())
        self._below.connection_lost(exc)

    def pause_writing(self) -> None:
        self._below.pause_writing()

    def resume_writing(self) -> None:
        self._below.resume_writing()

    # -- inside

    def _line_received(self, line: bytes) -> None:
        if len(self._lines) >= MAX_LINES:
            self._end(ProtocolError("nats: too many protocol lines"))
            return
        self._lines.append(line)
        self._wake.set()

    def _end(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake.set()


def _read_now(reader: asyncio.StreamReader) -> bytes | None:
    """What ``reader`` has, empty at the end of the stream, None when it would wait."""
    reading = reader.read(2**20)
    try:
        reading.send(None)
    except StopIteration as done:
        return bytes(done.value)
    reading.close()
    return None

"""The bytes of a connection to NATS, taken from the transport as they come, past the library's stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol, cast

from nats.aio.transport import TcpTransport
from nats.errors import UnexpectedEOF

from wsgw.broker.parser import WINDOW_BYTES, ProtocolError
from wsgw.fanout.turn import Turn
from wsgw.shares.tick import Tick

#: Longest that is fed within one tick: uvloop reads up to 32 times on end where much comes.
TICK_SECONDS = 0.01


class Feed(Protocol):
    """Takes what was read."""

    def __call__(self, data: bytes, until: float = ..., /) -> bool:
        """See ``DirectParser.feed``."""


class Stream(asyncio.Protocol):
    """Feeds ``feed`` with what ``tcp`` reads, within runs of ``turn``; it may raise ProtocolError.

    Where a tick's time is spent it rests until the next one, so that others get theirs.

    Call ``start`` first, which takes what the library's stream has read. ``on_end`` is told once what ended it: that,
    UnexpectedEOF, or an OSError; not of a ``close``. Nothing is fed any more then.
    """

    def __init__(self, tcp: TcpTransport, feed: Feed, turn: Turn, on_end: Callable[[Exception], None]) -> None:
        reader, writer = tcp._io_reader, tcp._io_writer
        assert reader is not None
        assert writer is not None
        self._tcp: TcpTransport | None = tcp  # its writers close, and warn, when they are freed before
        self._reader = reader
        self._transport = cast("asyncio.Transport", writer.transport)
        self._feed: Feed | None = feed
        self._turn = turn
        self._on_end: Callable[[Exception], None] | None = on_end
        self._held = False
        self._resting = False
        self._left = False  # something of what was read, for the next tick
        self._tick = Tick(asyncio.get_running_loop(), monotonic)
        self._until = 0.0  # of the tick in which much came last
        #: in seconds of ``time.monotonic``: when NATS was heard last, or could be heard again
        self.heard_at = monotonic()

    def start(self) -> None:
        """Take over."""
        self._transport.set_protocol(self)
        while (read := _read_now(self._reader)) is not None:
            if not read:
                self._end(UnexpectedEOF())
                return
            self.data_received(read)

    def write(self, lines: bytes) -> None:
        """Write protocol lines; does nothing when the connection is lost."""
        if self._feed is not None and not self._transport.is_closing():
            self._transport.write(lines)

    def write_all(self, pieces: list[bytes]) -> None:
        """As ``write`` of all of them behind each other, of which no copy is made where the loop can."""
        if self._feed is not None and not self._transport.is_closing():
            self._transport.writelines(pieces)

    def close(self) -> None:
        """Drop the connection with all that is on its way."""
        self._feed = self._on_end = None
        self._transport.abort()
        self._tcp = None

    @property
    def held(self) -> bool:
        """Nothing is read: between ``hold`` and ``release``, or until the next tick."""
        return self._held or self._resting

    def hold(self) -> None:
        """Read nothing until ``release``; harmless when it is so."""
        if not self._held and not self._transport.is_closing():
            if not self._resting:
                self._transport.pause_reading()
            self._held = True

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        if self._held and not self._transport.is_closing():
            self._held = False
            if not self._resting:
                self._go_on(rest=False)

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.heard_at = monotonic()
        if len(data) >= WINDOW_BYTES:
            if self._feed_in_turns(data) and not self.held and not self._transport.is_closing():
                self._transport.pause_reading()
                self._rest()
        elif self._feed is not None:
            try:
                self._turn.run(self._feed, data)
            except ProtocolError as error:
                self._end(error)

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._left:
            self.data_received(b"")
        self._end(exc or UnexpectedEOF())

    # -- inside

    def _feed_in_turns(self, data: bytes) -> bool:
        """Feed ``data`` behind what is left; whether that was enough for this tick."""
        self._until = self._tick.until(TICK_SECONDS)
        try:
            self._turn.run(self._feed_some, data)
        except ProtocolError as error:
            self._end(error)
        return self._left or monotonic() >= self._until

    def _feed_some(self, data: bytes) -> None:
        if self._feed is not None:
            self._left = False  # also if it raises
            self._left = self._feed(data, self._until)

    def _rest(self) -> None:
        self._resting = True
        self._turn.call_later(self._rested)

    def _rested(self) -> None:
        self._resting = False
        fed = self._left and not self._held
        if fed:
            self._feed_in_turns(b"")
        if not self._held:
            self._go_on(rest=fed)

    def _go_on(self, *, rest: bool) -> None:
        """Read again, or ``rest`` once more, as before what is left."""
        if rest or self._left:
            self._rest()
        elif not self._transport.is_closing():
            self.heard_at = monotonic()
            self._transport.resume_reading()

    def _end(self, error: Exception) -> None:
        told, self._on_end, self._feed = self._on_end, None, None
        if told is not None:
            told(error)


def _read_now(reader: asyncio.StreamReader) -> bytes | None:
    """What ``reader`` has, empty at the end of the stream, None when it would wait."""
    reading = reader.read(2**20)
    try:
        reading.send(None)
    except StopIteration as done:
        return bytes(done.value)
    reading.close()
    return None

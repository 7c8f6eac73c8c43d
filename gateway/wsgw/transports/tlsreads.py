"""What is read of a connection with TLS, before it is taken apart: a little at a time, and in turn with others.

A record of 27 bytes can have a client's keys changed (RFC 8446 section 4.6.3), which costs as much as a message, and
nobody hears of it: none of the protocols within could bound that. So it is the time that is bounded here. And TLS
answers some records by itself (TLS 1.2: each wish to renegotiate): of who takes no answers nothing more is taken apart.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from wsgw.shares.slices import Slices

#: Taken apart at once: uvloop would read 256 KiB, ten thousand records.
READ_BYTES = 16 * 1024
#: Whose reads cost less does not have to wait for others.
LEAST_SECONDS = 0.0005


class Holdable(Protocol):
    """The transport for what is within."""

    def hold(self) -> None:
        """Take nothing apart, whether that is wanted within or not."""

    def release(self) -> None:
        """Undo ``hold``."""

    def get_write_buffer_size(self) -> int:
        """What was written and is not taken, in bytes."""


class TlsReads(asyncio.BufferedProtocol):
    """Between the transport ``raw`` and ``tls``, which is asyncio's protocol of TLS.

    Until ``entered`` one read is made in a round.
    """

    __slots__ = (
        "_began",
        "_cost",
        "_full",
        "_loop",
        "_lost",
        "_raw",
        "_secured",
        "_slices",
        "_stalled",
        "_tls",
        "_unsent",
        "_waits",
    )

    def __init__(self, tls: asyncio.BufferedProtocol, raw: asyncio.Transport, slices: Slices) -> None:
        self._tls = tls
        self._raw = raw
        self._slices = slices
        self._loop = asyncio.get_running_loop()
        self._secured: Holdable | None = None
        self._waits = False
        self._cost = 0.0  # of a read, in seconds
        self._began = 0.0
        self._lost = False
        self._full = False  # ``raw`` has much that is not taken
        self._unsent = -1  # bytes, before a read, where it is ``_full``
        self._stalled = False

    def entered(self, secured: Holdable) -> None:
        """The handshake is done, and ``secured`` is for what is within."""
        self._secured = secured

    # -- asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._tls.get_buffer(READ_BYTES))[:READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        if self._secured is None:
            self._tls.buffer_updated(nbytes)
            if not self._waits:
                self._waits = True
                self._raw.pause_reading()
                self._loop.call_soon(self._go_on)
            return
        self._wait_if_spent()
        self._begin()
        self._tls.buffer_updated(nbytes)
        if not self._waits:
            self._end()
            self._wait_if_spent()

    def eof_received(self) -> bool | None:
        return self._tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._secured = None
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        self._full = True
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        self._tls.resume_writing()
        if self._stalled:
            self._stalled = False
            self._queue()

    # -- inside

    def _go_on(self) -> None:
        self._waits = False
        if not self._lost and not self._raw.is_closing():
            self._raw.resume_reading()

    def _learn(self, cost_seconds: float) -> None:
        """A read took that long; who sends something cheap now and then is not cheap for that."""
        self._cost = max(cost_seconds, self._cost / 2)

    def _wait_if_spent(self) -> None:
        """Take nothing more apart where the time of this round is over, of a client that needs more than a little."""
        held = self._waits or self._stalled
        spent = self._slices.spent()  # asked in any case: a round's time counts from the first question on
        if spent and not held and self._secured is not None and self._cost > LEAST_SECONDS:
            self._secured.hold()
            self._queue()

    def _queue(self) -> None:
        if not self._waits:
            self._waits = True
            self._slices.queue(self._had_its_turn)

    def _had_its_turn(self, _until: float) -> bool:
        """What waits is taken apart in a callback, between two of ours."""
        self._waits = False
        if self._secured is not None and not self._stalled:
            self._slices.charge(self._cost)
            self._loop.call_soon(self._begin)
            self._secured.release()
            self._loop.call_soon(self._end)
        return False

    def _begin(self) -> None:
        """A read is to be taken apart."""
        self._unsent = self._secured.get_write_buffer_size() if self._full and self._secured is not None else -1
        self._began = monotonic()

    def _end(self) -> None:
        """It was. Who takes no answers, and has got one more by what was read, has to take them first."""
        self._learn(monotonic() - self._began)
        if self._secured is None or not 0 <= self._unsent < self._secured.get_write_buffer_size():
            return
        if self._stalled:  # it is closed, and read until all is taken
            self._raw.abort()
            return
        self._stalled = True
        self._secured.hold()

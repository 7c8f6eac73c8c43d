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

#: Taken apart at once: uvloop would read 256 KiB, ten thousand records. What is large comes a little cheaper in larger
#: reads, but a change of keys costs a hundred times what its bytes do otherwise, and one such read holds up all others.
READ_BYTES = 16 * 1024
#: Whose reads cost less does not have to wait for others,
LEAST_SECONDS = 0.0005
#: Taken apart at once where they cost more, or the time of a round is over: many can come at once, and what theirs will
#: cost nobody knows before.
LEAST_BYTES = 2048


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
        "_cost",
        "_full",
        "_loop",
        "_lost",
        "_raw",
        "_secured",
        "_slices",
        "_stalled",
        "_tls",
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
        self._lost = False
        self._full = False  # ``raw`` has much that is not taken
        self._stalled = False

    def entered(self, secured: Holdable) -> None:
        """The handshake is done, and ``secured`` is for what is within."""
        self._secured = secured

    # -- asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:
        size = LEAST_BYTES if self._cost > LEAST_SECONDS or self._slices.spent() else READ_BYTES
        return memoryview(self._tls.get_buffer(READ_BYTES))[:size]

    def buffer_updated(self, nbytes: int) -> None:
        if self._secured is None:
            self._tls.buffer_updated(nbytes)
            if not self._waits:
                self._waits = True
                self._raw.pause_reading()
                self._loop.call_soon(self._go_on)
            return
        self._wait_if_spent(nbytes)
        if self._waits:
            self._tls.buffer_updated(nbytes)
        else:
            self._take_apart(nbytes)
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

    def _wait_if_spent(self, nbytes: int = 0) -> None:
        """Take nothing more apart, nor ``nbytes``, of who needs more than a little, where the round's time is over.

        Whose reads were cheap is one of them, too, if this is no small one: many can be cheap until they flood at once.
        """
        held = self._waits or self._stalled
        spent = self._slices.spent()  # asked in any case: a round's time counts from the first question on
        dear = self._cost > LEAST_SECONDS or nbytes >= LEAST_BYTES
        if spent and dear and not held and self._secured is not None:
            self._secured.hold()
            self._queue()

    def _queue(self) -> None:
        if not self._waits:
            self._waits = True
            self._slices.queue(self._had_its_turn)

    def _had_its_turn(self, _until: float) -> bool:
        """What waits is taken apart here, not later, as who is released would do it: its time is to count."""
        self._waits = False
        if self._secured is not None and not self._stalled:
            self._secured.release()
            self._take_apart(0)
        return False

    def _take_apart(self, nbytes: int) -> None:
        """What waits, and so much more. Who takes no answers, and gets one more by that, has to take them first."""
        secured = self._secured
        unsent = secured.get_write_buffer_size() if self._full and secured is not None else None
        began = monotonic()
        self._tls.buffer_updated(nbytes)
        self._learn(monotonic() - began)
        secured = self._secured
        if unsent is None or secured is None or secured.get_write_buffer_size() <= unsent:
            return
        if self._stalled:  # it is closed, and read until all is taken
            self._raw.abort()
            return
        self._stalled = True
        secured.hold()

"""The body of a request as it comes: by its length, or in chunks (RFC 9112 sections 6.2 and 7.1)."""

from __future__ import annotations

import time

from wsgw.config.limits import LimitsSettings
from wsgw.protocols.http1.chunked import Chunked
from wsgw.protocols.http1.head import Head
from wsgw.shares.slices import Slices
from wsgw.transports.exchange import BODY_HIGH_WATER_BYTES, Exchange

#: A smaller piece of a body costs less than to look at the clock.
SMALL_BYTES = 4096


class IncomingBody:
    """That of ``head``, which has one."""

    __slots__ = ("_chunks", "_left")

    def __init__(self, head: Head, limits: LimitsSettings) -> None:
        self._left = head.body_bytes or 0
        self._chunks = None if head.body_bytes else Chunked(limits.head_bytes, limits.headers)

    def take(self, data: bytes, at: int, exchange: Exchange, slices: Slices, until: float) -> tuple[int, bool]:
        """Give ``exchange`` what there is of it in ``data`` from ``at`` on. Where it ends, and whether time was over.

        That is ``until`` (``time.monotonic``), or where this is 0 as ``slices`` say of one who has just read. Raises
        BodyError and TrailersTooLarge.
        """
        if self._chunks is None:
            size = min(self._left, len(data) - at)
            exchange.body += data[at : at + size]
            self._left -= size
            exchange.body_complete = not self._left
            return at + size, False
        return self._take_chunks(self._chunks, data, at, exchange, slices, until)

    # -- inside

    def _take_chunks(
        self, chunks: Chunked, data: bytes, at: int, exchange: Exchange, slices: Slices, until: float
    ) -> tuple[int, bool]:
        if not until and len(data) - at > SMALL_BYTES:
            until = slices.until()
        while True:
            at = chunks.take(data, at, exchange.body)
            exchange.body_complete = chunks.complete
            if chunks.hungry or chunks.complete or len(exchange.body) > BODY_HIGH_WATER_BYTES:
                return at, False
            if time.monotonic() >= until:
                return at, True

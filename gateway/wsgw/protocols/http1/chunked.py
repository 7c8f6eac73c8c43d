"""The body of a request in chunks (RFC 9112 section 7.1), taken apart as it comes. Sans-I/O.

Chunk extensions and trailers are read and forgotten, within bounds.
"""

from __future__ import annotations

import re

from wsgw.errors import WsgwError

#: Chunks that one call takes apart: they may be of one byte each.
MAX_CHUNKS = 1000
#: The line of a chunk's size, its extensions included.
MAX_LINE_BYTES = 1024

_END = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t \x21-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t \x21-\x7e\x80-\xff]*\r\n")


class BodyError(WsgwError):
    """Not a body in chunks; the message says why, in words of ours alone."""


class TrailersTooLarge(WsgwError):
    """The trailers are over the limit."""


class Chunked:
    """``max_trailer_bytes`` and ``max_trailers`` bound all trailers together."""

    __slots__ = ("_after", "_in_trailers", "_left", "_trailer_bytes", "_trailers", "complete", "hungry")

    def __init__(self, max_trailer_bytes: int, max_trailers: int) -> None:
        self._left = 0  # of the chunk
        self._after = False  # the end of a chunk's line is due
        self._in_trailers = False
        self._trailer_bytes = max_trailer_bytes
        self._trailers = max_trailers
        #: the body has ended
        self.complete = False
        #: the last call stopped for want of bytes; otherwise it had done enough, and wants to be called again
        self.hungry = True

    def take(self, data: bytes, at: int, body: bytearray) -> int:
        """Append to ``body`` what ``data`` brings from ``at`` on; up to where it was taken.

        What is left is to be given again with what comes behind it. Raises BodyError, TrailersTooLarge.
        """
        end = len(data)
        self.hungry = True
        for _ in range(MAX_CHUNKS):
            if self._left:
                stop = min(at + self._left, end)
                body += data[at:stop]
                self._left -= stop - at
                at = stop
                if self._left:
                    return at
                self._after = True
            if self._after:
                if not data.startswith(_END, at):
                    if end - at < 2 and _END.startswith(data[at:end]):
                        return at
                    raise BodyError("a chunk is longer than its size says")
                at += 2
                self._after = False
            if self._in_trailers:
                return self._take_trailers(data, at)
            size = _SIZE.match(data, at)
            if size is None:
                if end - at < MAX_LINE_BYTES and data.find(_END, at) < 0:
                    return at
                raise BodyError("a chunk's size is no hexadecimal number, or its line too long")
            if size.end() - at > MAX_LINE_BYTES:
                raise BodyError("the line of a chunk's size is too long")
            at = size.end()
            self._left = int(size[1], 16)
            self._in_trailers = not self._left
        self.hungry = False
        return at

    def _take_trailers(self, data: bytes, at: int) -> int:
        while not data.startswith(_END, at):
            if _END.startswith(data[at : at + 2]):
                return at  # it may be the end
            trailer = _TRAILER.match(data, at)
            end = data.find(_END, at) if trailer is None else trailer.end() - 2
            stop = len(data) if end < 0 else end + 2
            if stop - at > self._trailer_bytes or not self._trailers:
                raise TrailersTooLarge
            if trailer is None:
                if end >= 0:
                    raise BodyError("a trailer is no header")
                return at
            self._trailer_bytes -= stop - at
            self._trailers -= 1
            at = stop
        self.complete = True
        return at + 2

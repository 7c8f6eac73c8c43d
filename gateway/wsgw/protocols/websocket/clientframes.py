"""Cuts a client's WebSocket byte stream into messages (RFC 6455 section 5), as many frames at a time as is asked for.

Taken apart here is what keeps the rules and lets the connection go on: whole messages, fragments, pings and pongs. At
anything else, which is the client's close and every violation, the bytes from there on are handed out as they are, to
a full parser that says what is wrong. They end the connection, so nothing comes after them.
"""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

from wsgw.fanout.frames import Message

try:
    from websockets.speedups import apply_mask
except ImportError:  # as the library: there is no C extension on some platforms
    from websockets.utils import apply_mask

CONTINUATION = 0
PING = 9
PONG = 10

_TEXT = 0x81
_SIMPLE = (_TEXT, 0x82)
_FIRST = (0x01, 0x02)
_FIRST_TEXT = 0x01
_NEXT = (0x00, 0x80)
_LAST = 0x80
_CONTROL = (0x80 | PING, 0x80 | PONG)
_MAX_CONTROL_BYTES = 125
_MASKED = 0x80
_EXTENDED_16 = 126
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})
#: What an object takes beside its content, about.
OBJECT_BYTES = 64
#: Behind a larger frame there are others' turns: what it carries may take long.
LARGE_FRAME_BYTES = 4096


class Control(NamedTuple):
    """A ping or a pong; or, with ``opcode`` CONTINUATION, an empty fragment in front of others: it says nothing."""

    opcode: int
    data: bytes


class ClientFrames:
    """``max_message_bytes`` bounds a message, and with it what is kept of an incomplete one."""

    __slots__ = (
        "_at",
        "_fragments",
        "_kept",
        "_needed",
        "_of_text",
        "_rest",
        "kept_bytes",
        "max_message_bytes",
        "unread",
    )

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._rest = b""  # while ``unread``: what was fed last, taken up to ``_at``
        self._at = 0
        self._kept: bytearray | None = None  # the beginning of a frame
        self._needed = 0  # bytes that must be there before another look at them pays
        self._fragments: bytearray | None = None  # of the message that is under way
        self._of_text = False
        #: whether there was more than was asked for: ``feed(b"", most)`` goes on
        self.unread = False
        #: what is kept of what was fed: unread, and of frames and messages that are not complete
        self.kept_bytes = 0

    @property
    def fragments_bytes(self) -> int | None:
        """The size, so far, of the fragmented message that is under way; None where none is."""
        return None if self._fragments is None else len(self._fragments)

    def feed(self, data: bytes, most: int) -> list[Message | Control | bytes]:
        """What the next ``most`` frames bring, or those up to a large one, in order; text may be no UTF-8.

        Bytes are always the last item: they are for a full parser, as is all that comes after; feed no more.
        """
        at = 0
        kept = self.kept_bytes
        if kept:
            if self.unread:
                self.unread = False
                at = self._at
                if data:
                    data, at = self._rest[at:] + data, 0
                else:
                    data = self._rest
                self._rest = b""
            elif self._kept is not None:
                self._kept += data
                if len(self._kept) < self._needed:
                    self.kept_bytes += len(data)
                    return []
                data = bytes(self._kept)
                self._kept = None
        found: list[Message | Control | bytes] = []
        end = len(data)
        last = end - 2  # where a header may begin
        limit = self.max_message_bytes
        fragments = self._fragments
        new, append, unmask = tuple.__new__, found.append, apply_mask
        needed = 2
        large = False
        for _ in repeat(None, most):  # a count of our own would cost a tenth of all this
            if large or at > last:
                break
            first = data[at]
            length = data[at + 1] - _MASKED
            mask = at + 2
            if length == _EXTENDED_16 and end - at >= 4:
                length = data[mask] << 8 | data[mask + 1]  # twice as fast as below
                mask += 2
                large = length > LARGE_FRAME_BYTES
            elif length >= _EXTENDED_16:
                mask += 2 if length == _EXTENDED_16 else 8
                if end < mask and first & 0x0F in _OPCODES:
                    needed = mask - at
                    break
                length = int.from_bytes(data[at + 2 : mask], "big")
                large = True
            start = mask + 4
            stop = start + length
            if first in _SIMPLE and 0 <= length <= limit and fragments is None:
                if stop > end:
                    needed = stop - at
                    large = False
                    break
                # as ``Message(...)``, in a third of its time
                append(new(Message, (first == _TEXT, unmask(data[start:stop], data[mask:start]))))
                at = stop
                continue
            if length < 0:
                taken = False  # not masked
            elif first in _NEXT:
                taken = fragments is not None and len(fragments) + length <= limit
            elif first in _CONTROL:
                # the library counts them to the message that is under way
                taken = length <= _MAX_CONTROL_BYTES and (fragments is None or len(fragments) + length <= limit)
            else:
                taken = first in _FIRST and length <= limit and fragments is None
            if not taken:
                append(data[at:] if at else data)
                at = end
                break
            if stop > end:
                needed = stop - at
                large = False
                break
            payload = unmask(data[start:stop], data[mask:start])
            at = stop
            if first in _CONTROL:
                append(new(Control, (first & 0x0F, payload)))
                continue
            if fragments is None:
                fragments = bytearray()  # no list of parts: they may be of one byte each
                self._of_text = first == _FIRST_TEXT
            fragments += payload
            if first == _LAST:
                append(Message(self._of_text, bytes(fragments)))
                fragments = None
            elif not payload:
                append(Control(CONTINUATION, b""))
        else:
            large = True  # there were as many as were asked for
        if large and at <= last:
            self.unread = True
            self._rest, self._at = data, at
        if at < end or kept or fragments is not None:
            self._fragments = fragments
            self._keep(data, at, needed)
        return found

    def _keep(self, data: bytes, at: int, needed: int) -> None:
        """Keep the beginning of a frame at ``at`` of ``data``, unless that is unread, and count what is kept."""
        if self.unread:
            kept = len(data)
        else:
            kept = len(data) - at
            self._kept = bytearray(data[at:]) if kept else None
            self._needed = needed
        if self._fragments is not None:
            kept += OBJECT_BYTES + len(self._fragments)
        self.kept_bytes = kept

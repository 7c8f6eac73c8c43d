"""Cuts a client's WebSocket byte stream at frame boundaries, and takes the simple frames apart (RFC 6455 section 5.2).

A simple frame is a whole message: text or binary, FIN set, no reserved bit, masked, within the size limit, while no
fragmented message is open. The bytes of all other frames are passed on as they come, to a full parser that keeps the
rules of the protocol. It is handed one frame after the other, so it stands at a boundary whenever a simple frame is
taken past it. Once it has ended the connection nothing more of what ``feed`` returns counts.
"""

from __future__ import annotations

from wsgw.fanout.frames import Message

try:
    from websockets.speedups import apply_mask
except ImportError:  # as the library: there is no C extension on some platforms
    from websockets.utils import apply_mask

_TEXT = 0x81
_SIMPLE = (_TEXT, 0x82)
_MASKED = 0x80
_EXTENDED_16 = 126
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})
_FOR_EVER = 1 << 64


class ClientFrames:
    """``max_message_bytes`` bounds a simple frame, and so what is kept of an incomplete one."""

    __slots__ = ("_foreign", "_fragmented", "_kept", "_needed", "max_message_bytes")

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._kept = bytearray()  # the beginning of a simple frame, or of a header
        self._needed = 0  # bytes that must be there before another look at them pays
        self._foreign = 0  # bytes of the current foreign frame that are still to come
        self._fragmented = False

    def feed(self, data: bytes) -> list[Message | bytes]:
        """What ``data`` brings, in order: a Message for each simple frame, bytes of the others. Text is not checked."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        found: list[Message | bytes] = []
        at, end = 0, len(data)
        needed = 2
        fragmented = self._fragmented
        limit = self.max_message_bytes
        new, append, unmask = tuple.__new__, found.append, apply_mask
        if self._foreign:
            at = min(self._foreign, end)
            self._foreign -= at
            found.append(data if at == end else data[:at])
        while end - at >= 2:
            first = data[at]
            length = data[at + 1] - _MASKED
            mask = at + 2
            if length == _EXTENDED_16 and end - at >= 4:
                length = data[mask] << 8 | data[mask + 1]  # twice as fast as below
                mask += 2
            elif length >= _EXTENDED_16:
                mask += 2 if length == _EXTENDED_16 else 8
                if end < mask and first & 0x0F in _OPCODES:
                    needed = mask - at
                    break
                length = int.from_bytes(data[at + 2 : mask], "big")
            start = mask + 4
            stop = start + length
            if first in _SIMPLE and 0 <= length <= limit and not fragmented:
                if stop > end:
                    needed = stop - at
                    break
                # as ``Message(...)``, in a third of its time
                append(new(Message, (first == _TEXT, unmask(data[start:stop], data[mask:start]))))
                at = stop
                continue
            if length < 0:
                stop = _FOR_EVER  # not masked: the full parser ends the connection at this header
            if first < _MASKED:
                fragmented = True
            elif first == _MASKED:
                fragmented = False
            found.append(data[at:stop])
            self._foreign = max(0, stop - end)
            at = min(stop, end)
        self._fragmented = fragmented
        if at < end:
            self._kept += data[at:] if at else data
            self._needed = needed
        return found

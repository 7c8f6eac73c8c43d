"""WebSocket frames as a client writes and reads them (RFC 6455 section 5.2)."""

from __future__ import annotations

from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_KEY = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """``end`` is where the next frame begins; ``opcode`` 0 is a continuation."""

    opcode: int
    start: int
    end: int


def masked(data: bytes, opcode: int = TEXT) -> bytes:
    """One whole masked frame. The key is fixed: to the server it is as good as any."""
    length = len(data)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 65536:
        head = bytes((0x80 | opcode, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + length.to_bytes(8, "big")
    mask = (_KEY * (length // 4 + 1))[:length]
    return head + _KEY + (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")


def header(length: int) -> bytes:
    """What a server writes before a text message of ``length`` bytes."""
    if length < 126:
        return bytes((0x80 | TEXT, length))
    if length < 65536:
        return bytes((0x80 | TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | TEXT, 127)) + length.to_bytes(8, "big")


def read_header(data: bytes | bytearray, position: int, limit: int) -> Frame | None:
    """The frame at ``position``, or None when its header is not whole before ``limit``; ``end`` may lie beyond it."""
    if limit - position < 2:
        return None
    length = data[position + 1]
    start = position + 2
    if length == 126:
        start = position + 4
        if start > limit:
            return None
        length = int.from_bytes(data[position + 2 : start], "big")
    elif length == 127:
        start = position + 10
        if start > limit:
            return None
        length = int.from_bytes(data[position + 2 : start], "big")
    return Frame(data[position] & 15, start, start + length)

"""WebSocket frames as a server writes them (RFC 6455 section 5.2): finished, unmasked, unfragmented."""

from __future__ import annotations

from codecs import utf_8_decode
from typing import NamedTuple

_TEXT = 0x81
_BINARY = 0x82
#: Decoded at a time to be looked at: a whole message as str may take four times what it has.
_STEP_BYTES = 64 * 1024
MAX_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame has at most 125 bytes, two of them the code


class Message(NamedTuple):
    """One WebSocket message: ``text`` tells whether ``data`` is sent as text (then it is valid UTF-8) or as binary."""

    text: bool
    data: bytes


def encode(message: Message) -> bytes:
    """``message`` as one frame with FIN set, ready to be written to any number of clients."""
    text, data = message
    opcode = _TEXT if text else _BINARY
    length = len(data)
    if length < 126:
        return bytes((opcode, length)) + data
    if length < 65536:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + data
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + data


def is_utf8(data: bytes) -> bool:
    """Whether ``data`` is valid UTF-8."""
    if data.isascii():
        return True
    at, end = 0, len(data)
    view = memoryview(data)
    try:
        while at < end:
            _, taken = utf_8_decode(view[at : at + _STEP_BYTES], "strict", at + _STEP_BYTES >= end)
            at += taken
    except UnicodeDecodeError:
        return False
    return True


def truncated(reason: str) -> str:
    """``reason`` cut to what a close frame can carry, at a character's boundary."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")

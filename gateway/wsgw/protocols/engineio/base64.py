"""Base64 (RFC 4648) as the encoders of clients write it."""

from __future__ import annotations

from base64 import b64decode

#: Java's clients write lines of 76 characters and an end of line behind the last, on every system.
_BLANK = b" \t\r\n"
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_MAX_PADDING = 2


def decode(text: bytes) -> bytes:
    """The bytes that ``text`` stands for; raises ValueError.

    Either alphabet of RFC 4648 (sections 4 and 5), blanks anywhere, padding or none. What no encoder writes is
    damage, and refused: other characters, a lone last character, anything behind the padding.
    """
    try:
        return b64decode(text, validate=True)  # nearly all
    except ValueError:
        text = text.translate(_FROM_URL, _BLANK)
    digits = text.rstrip(b"=")
    if len(text) - len(digits) > _MAX_PADDING:
        raise ValueError("more padding than base64 has")
    return b64decode(digits + b"=" * (-len(digits) % 4), validate=True)

"""A client's text message that is long: its UTF-8, of which no more is decoded than somebody needs.

As a str it would take up to four times as much, and each part that is cut out of it as much again: one character
beyond U+FFFF makes all others as wide as itself.
"""

from __future__ import annotations

#: A text message of more bytes is handed on as a LongText.
LONG_TEXT_BYTES = 64 * 1024


class LongText:
    """What of ``data`` begins at ``at``; ``data`` is valid UTF-8. Its length is in bytes."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def __len__(self) -> int:
        return len(self.data) - self.at

    def begin(self, most_bytes: int) -> str:
        """Its beginning: the whole characters among the first ``most_bytes``."""
        return self.data[self.at : self.at + most_bytes].decode(errors="ignore")

    def whole(self, most_chars: int) -> str | None:
        """All of it, where that is at most ``most_chars``."""
        if len(self) > 4 * most_chars:
            return None
        text = str(memoryview(self.data)[self.at :], "utf-8")
        return text if len(text) <= most_chars else None


#: The content of a message: a text, a long one, or binary.
Content = str | LongText | bytes

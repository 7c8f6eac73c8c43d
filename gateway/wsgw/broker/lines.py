"""Publishes as lines of NATS' protocol (docs.nats.io, "Client Protocol": PUB and HPUB). Sans-I/O.

What is returned is in pieces, to be written behind each other: payloads are not copied.
"""

from __future__ import annotations

from collections.abc import Sequence

_LINE_END = b"\r\n"


def publishes(
    subject: str, reply_to: str, block: bytes, payloads: Sequence[bytes], sizes: Sequence[int]
) -> list[bytes]:
    """Each of ``payloads`` to ``subject``, with the header ``block``; ``sizes`` are of each with the block.

    Replies are asked for to ``reply_to``. Block and reply subject may be empty.
    """
    to = (f"{subject} {reply_to}" if reply_to else subject).encode().replace(b"%", b"%%")
    head = b"PUB %b %%d\r\n" % to
    if block:
        head = b"HPUB %b %d %%d\r\n%b" % (to, len(block), block.replace(b"%", b"%%"))
    pieces: list[bytes] = []
    last, line = -1, b""
    for size, payload in zip(sizes, payloads, strict=True):
        if size != last:
            last, line = size, head % size
        pieces += (line, payload, _LINE_END)
    return pieces


def publishes_each(subject: str, messages: Sequence[tuple[str, bytes, bytes]]) -> list[bytes]:
    """The same of messages that have a subject for replies, a header block and a payload each."""
    to = subject.encode()
    pieces: list[bytes] = []
    for reply_to, block, payload in messages:
        size = len(block)
        head = b"HPUB %b %b %d %d\r\n%b" % (to, reply_to.encode(), size, size + len(payload), block)
        pieces += (head, payload, _LINE_END)
    return pieces

"""Where a client stands in the streams of its durable channels, as the text that it gives back to resume.

It is opaque to clients, of letters, digits, ``-`` and ``.``: a version, then for each stream its identity and the
sequence of the last message seen. Streams that are made anew under an old name have another identity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

#: Of what is written; later versions are understood as "somewhere".
VERSION = "1"
#: Streams in one position; more are not taken.
MAX_STREAMS = 64
MAX_LENGTH = 2048
_ENTRY = re.compile(r"([0-9a-f]{10})-(0|[1-9][0-9]{0,18})")


def identity(channel: str, stream: str, created: str) -> str:
    """What tells the stream of ``channel`` from all others; ``created`` is JetStream's own time of its creation."""
    return hashlib.sha256(f"{channel}\n{stream}\n{created}".encode()).hexdigest()[:10]


def mark(identity: str, channel: str, name: str) -> str:
    """What ``name`` is called in a position of several: as the stream where it is its ``channel``'s own."""
    return identity if name == channel else hashlib.sha256(f"{identity}\n{name}".encode()).hexdigest()[:10]


def part(identity: str, *values: str) -> str:
    """The identity of the part of a stream that ``values`` of claims lead to: it is another one than all others'."""
    return hashlib.sha256("\0".join((identity, *values)).encode()).hexdigest()[:10]


def encode(position: Mapping[str, int]) -> str:
    """The text of a position: sequences by identity."""
    return ".".join([VERSION, *[f"{identity}-{sequence}" for identity, sequence in position.items()]])


def encode_one(identity: str, sequence: int) -> str:
    """As ``encode`` of one stream, at a fifth of the cost: each publication of a durable channel has one."""
    return f"{VERSION}.{identity}-{sequence}"


def parse(text: str) -> dict[str, int] | None:
    """The position that ``text`` says; None where it says none that is known here: it may be of a later version."""
    if len(text) > MAX_LENGTH:
        return None
    version, *entries = text.split(".")
    if version != VERSION or len(entries) > MAX_STREAMS:
        return None
    position: dict[str, int] = {}
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        if match is None or match[1] in position:
            return None
        position[match[1]] = int(match[2])
    return position

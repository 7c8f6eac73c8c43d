"""NATS' header block, there and back (ADR-4 of github.com/nats-io/nats-architecture-and-design). Sans-I/O.

``NATS/1.0``, perhaps a status, then lines ``Name: value``, then an empty line; each ends with CR LF.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsgw.fanout.publication import NO_HEADERS, Headers

#: Headers by name, each with one value or several.
Sendable = Mapping[str, str | Sequence[str]]

#: A longer block is neither made nor taken apart: what it holds costs many times its bytes. JetStream stores no longer.
MAX_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """Headers that go with many messages, made once: their ``lines``, and the ``block`` of them alone."""

    lines: bytes
    block: bytes


_VERSION = b"NATS/1.0"
_LINE_END = b"\r\n"
_FIRST_LINE = re.compile(rb"NATS/1\.0(?:[ \t]+([0-9]{3})(?:[ \t]+([^\r\n]*))?)?[ \t]*")
#: Of visible ASCII without the colon.
_NAME = re.compile(r"[!-9;-~]+")
#: The blanks around a value do not belong to it.
_LINE = re.compile(rb"([!-9;-~]+):[ \t]*([^\r\n]*)")
_BLANKS = b" \t"


def encode(headers: Sendable) -> bytes:
    """``headers`` as a block; raises ValueError for what NATS has no form for, and above MAX_BLOCK_BYTES.

    A name is of visible ASCII characters without the colon; a value is of any characters without CR and LF.
    """
    lines = [_VERSION]
    for name, values in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"a header's name cannot be {name[:100]!r}")
        for value in (values,) if isinstance(values, str) else values:
            if "\r" in value or "\n" in value:
                raise ValueError(f"the header {name!r} has a line break in its value")
            lines.append(f"{name}: {value}".encode())  # surrogates raise UnicodeEncodeError, which is a ValueError
    block = _LINE_END.join([*lines, b"", b""])
    if len(block) > MAX_BLOCK_BYTES:
        raise ValueError(f"the headers have {len(block)} bytes, more than {MAX_BLOCK_BYTES}")
    return block


def block_of(headers: Sendable) -> HeaderBlock:
    """See ``HeaderBlock``; raises as ``encode``."""
    block = encode(headers)
    return HeaderBlock(block[len(_VERSION + _LINE_END) : -len(_LINE_END)], block)


def parse(block: bytes) -> Headers:
    """The headers in ``block``; never raises.

    A block that breaks the form anywhere, or is longer than MAX_BLOCK_BYTES, reads as one without headers: half of
    what was meant would be worse. Bytes of a value that are no UTF-8 become U+FFFD.
    """
    end = 2 * _LINE_END
    if len(block) > MAX_BLOCK_BYTES or not block.endswith(end):
        return NO_HEADERS
    first, *lines = block.removesuffix(end).split(_LINE_END)
    opening = _FIRST_LINE.fullmatch(first)
    if opening is None:
        return NO_HEADERS
    repeated: dict[str, list[str]] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            return NO_HEADERS
        repeated.setdefault(found[1].decode(), []).append(found[2].rstrip(_BLANKS).decode(errors="replace"))
    fields = {name: tuple(values) for name, values in repeated.items()}
    status, description = opening.groups()
    return Headers(
        fields,
        None if status is None else int(status),
        "" if description is None else description.rstrip(_BLANKS).decode(errors="replace"),
    )

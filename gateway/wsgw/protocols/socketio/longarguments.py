"""The arguments of a long packet: a name, and one value, found without decoding what is not to be passed on.

The value is validated as a whole, without looking for its end, and only where it is no larger than a payload may be.
"""

from __future__ import annotations

import re

import orjson

from wsgw.protocols.longtext import LongText
from wsgw.protocols.socketio.arguments import (
    BLANKS,
    NESTED_BINARY,
    SURROGATE,
    Argument,
    ArgumentError,
    Json,
    Oversized,
    argument_of,
    scan_value,
    uncollected,
)

#: What is decoded to find the name: more is no channel's, and is cut.
NAME_BYTES = 2048
#: A problem.
NOT_ONE = "what comes behind the name is not one JSON value, or one that is nested too deeply or has too large numbers"

_BLANK_BYTES = BLANKS.encode()
_BLANK = re.compile(b"[%b]*" % _BLANK_BYTES)
_NAME_BEGINS = frozenset(b'"-0123456789')
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB]")
_STEP_BYTES = 4096
#: Of a string that is large: decoded at a time.
_PIECE_BYTES = 64 * 1024


def split_long(text: LongText, most_bytes: int) -> list[Argument]:
    """The elements of a JSON array of a name and at most one value; raises ArgumentError.

    The value has up to ``most_bytes``, as a payload, or is Oversized.
    """
    name, value = _parts(text)
    with uncollected():
        return [name] if value is None else [name, _value(text.data, *value, most_bytes)]


def split_long_binary(text: LongText) -> list[Argument]:
    """As ``split_long``, of a packet with attachments: they are somewhere inside the value."""
    name, value = _parts(text)
    return [name] if value is None else [name, Json("", NESTED_BINARY)]


def _parts(text: LongText) -> tuple[Argument, tuple[int, int] | None]:
    """The name, and where the value is, if any: from its first byte to behind what may be its last."""
    data = text.data
    at = _skip_blank(data, text.at + 1)
    if data[text.at] != ord("[") or at >= len(data) or data[at] not in _NAME_BEGINS:
        raise ArgumentError("not a JSON array with a name")
    name, at = _name(LongText(data, at))
    at = _skip_blank(data, at)
    last = _end(data, at, len(data)) - 1
    if data[at : at + 1] == b",":
        at = _skip_blank(data, at + 1)
        return name, (at, _end(data, at, last) if data[last] == ord("]") else at)
    if at != last or data[last] != ord("]"):
        raise ArgumentError("not a JSON array")
    return name, None


def _name(text: LongText) -> tuple[Argument, int]:
    """What ``text`` begins with, and where that ends; raises ArgumentError."""
    begin = text.begin(NAME_BYTES)
    try:
        value, end = scan_value(begin, 0)
    except (ValueError, StopIteration):
        end = len(begin)
    if end < len(begin):
        return argument_of(value, begin[:end]), text.at + len(begin[:end].encode())
    # only its end is looked for. In what stands for it no escape is a character that would make all others wide
    narrow = str(text.data[text.at :].replace(b"\\u", b"\\/"), "latin-1")
    try:
        _, end = scan_value(narrow, 0)
    except (ValueError, StopIteration) as error:
        raise ArgumentError("not JSON") from error
    return begin, text.at + end


def _value(data: bytes, start: int, end: int, most_bytes: int) -> Argument:
    size = end - start
    if data[start : start + 1] == b'"':
        if size - 2 > most_bytes:
            return _large_string(data, start, end, most_bytes)
        return _string(memoryview(data)[start:end])
    if size > most_bytes:
        return _oversized(data, start, size)
    try:
        orjson.loads(memoryview(data)[start:end])
    except orjson.JSONDecodeError:
        return Json("", NOT_ONE)
    return Json(str(memoryview(data)[start:end], "utf-8"))


def _large_string(data: bytes, start: int, end: int, most_bytes: int) -> Argument:
    """One that is no larger than a payload may be only because of its escapes: piece by piece, until it is."""
    at, end = start + 1, end - 1
    if data[end] != ord('"') or data.find(b"\\", at, end) < 0:
        return _oversized(data, start, end - at)
    parts: list[str] = []
    size = 0
    while at < end:
        cut = _cut(data, at, at + _PIECE_BYTES) if end - at > _PIECE_BYTES else end
        part = _string(b'"%b"' % data[at:cut])
        if not isinstance(part, str):
            return part
        at = cut
        size += len(part.encode())
        if size > most_bytes:
            return _oversized(data, start, size)
        parts.append(part)
    return "".join(parts)


def _oversized(data: bytes, start: int, size: int) -> Oversized:
    return Oversized(LongText(data, start).begin(NAME_BYTES), size)


def _string(raw: bytes | memoryview) -> str | Json:
    try:
        value: str = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Json("", _problem(raw))
    return value


def _problem(raw: bytes | memoryview) -> str:
    """Of a string that is no Unicode text, or more than a string."""
    narrow = str(raw, "latin-1")  # what is ASCII, as JSON's own characters are, is where it was
    try:
        _, end = scan_value(narrow, 0)
    except (ValueError, StopIteration):
        return NOT_ONE
    return SURROGATE if end == len(narrow) else NOT_ONE


def _cut(data: bytes, start: int, cut: int) -> int:
    """Where to cut the content of a string, that is ``cut`` or a little before it: between two characters."""
    while data[cut] & 0xC0 == 0x80:
        cut -= 1
    last = data.rfind(b"\\", cut - 5, cut)
    if last >= 0 and _escapes(data, start, last) and last + (6 if data[last + 1] == ord("u") else 2) > cut:
        cut = last
    # behind the first half of a surrogate pair
    half = cut - 6
    if data[cut : cut + 2] == b"\\u" and _FIRST_HALF.match(data, half) and _escapes(data, start, half):
        cut = half
    return cut


def _escapes(data: bytes, start: int, at: int) -> bool:
    """Whether an escape begins with the backslash at ``at``, which may as well be what another one escapes."""
    before = data[start:at]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def _skip_blank(data: bytes, at: int) -> int:
    match = _BLANK.match(data, at)
    assert match is not None
    return match.end()


def _end(data: bytes, start: int, end: int) -> int:
    """Where what begins at ``start`` ends without the blanks in front of ``end``."""
    while end > start:
        step = max(start, end - _STEP_BYTES)
        kept = len(data[step:end].rstrip(_BLANK_BYTES))
        if kept:
            return step + kept
        end = step
    return start

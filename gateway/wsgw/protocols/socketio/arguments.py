"""The arguments of Socket.IO events and acks: JSON values that are taken apart and put together, never re-encoded.

A gateway must not change what it passes on: ``1.0``, big integers, the order of keys and keys given twice survive
because a value that is not a string stays the text it came as. Strict JSON (RFC 8259): NaN and Infinity are refused.

What a packet costs is bounded: at most MAX_ARGUMENTS are taken, and of one longer than MAX_SCANNED_CHARS only a name
and one value (``longarguments``).
"""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from json.scanner import make_scanner
from typing import Any, NamedTuple

import orjson

from wsgw.errors import WsgwError
from wsgw.fanout.frames import Message


class Json(NamedTuple):
    """A JSON value as its text, byte for byte.

    ``problem`` is None, or says why the value cannot be passed on as one payload (it has binary inside, or is a string
    that is no Unicode text); it is for an error answer, not for NATS. Of a long packet's such a value is not kept.
    """

    raw: str
    problem: str | None = None


class Oversized(NamedTuple):
    """A value that is larger than a payload may be; nobody looked whether it is JSON.

    ``begin`` is the beginning of its text, longer than a channel's name; as a payload it has ``size_bytes`` or more.
    """

    begin: str
    size_bytes: int


#: A JSON string's value; a top-level binary attachment; any other JSON value; one that is too large.
Argument = str | bytes | Json | Oversized


class ArgumentError(WsgwError):
    """Not a JSON array, or one whose placeholders do not fit its attachments."""


class Attachment(NamedTuple):
    """The place of a binary attachment that is still to come."""

    num: int


#: More are not looked for: an event here has one, beside its name.
MAX_ARGUMENTS = 16
#: Of a text up to that length each value is found by building it.
MAX_SCANNED_CHARS = 64 * 1024
#: A longer one is not looked at twice, and collecting garbage, which there is none of, waits while it is built.
SMALL_CHARS = 16 * 1024
#: What an object of ours takes beside what is in it, about.
OBJECT_BYTES = 100

#: The value that begins at a place, and where it ends; raises ValueError or StopIteration where none does.
Scan = Callable[[str, int], tuple[Any, int]]

BLANKS = " \t\n\r"
#: Problems.
SURROGATE = "a string with an unpaired surrogate is no Unicode text"
NESTED_BINARY = "binary inside an object or array is not supported; send it as the argument itself"

_BLANK = re.compile(f"[{BLANKS}]*")
_TOO_DEEP = "the value is nested too deeply"


def _refuse_constant(name: str) -> None:
    raise ArgumentError(f"{name} is not JSON")


def _small_int(digits: str) -> int:
    return int(digits) if len(digits) < 6 else -1  # only the num of placeholders is looked at


def _small_number(digits: str) -> object:
    """As ``_small_int`` for what is written as a fraction: encoders that hold all numbers as doubles write 0.0."""
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) < 100_000 else digits


def _scanner(decoder: json.JSONDecoder) -> Scan:
    """What ``decoder.raw_decode`` calls."""
    return make_scanner(decoder)  # type: ignore[arg-type]  # the stub says something else than json.decoder does


# Only the extent of values matters here, so numbers are not converted (which also spares huge ones).
scan_value = _scanner(json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant))


def split(text: str) -> list[Argument]:
    """The first MAX_ARGUMENTS elements of the JSON array ``text``, of up to MAX_SCANNED_CHARS; raises ArgumentError."""
    if len(text) <= SMALL_CHARS:
        return _split(text, scan_value, argument_of)
    with uncollected():
        return _split(text, scan_value, argument_of)


def only(text: str, at: int) -> Argument | None:
    """The last element of a JSON array, where it begins at ``at`` and nothing but ``]`` follows; else None.

    None as well where that is for ``split`` to find out.
    """
    if len(text) > SMALL_CHARS:
        return None
    try:
        value, end = scan_value(text, at)
    except (ValueError, StopIteration, RecursionError, ArgumentError):
        return None
    return argument_of(value, text[at:end]) if text[end:] == "]" else None


def split_binary(text: str, attachments: int) -> list[Argument | Attachment]:
    """As ``split``, where placeholder objects stand for ``attachments``."""
    found: list[Attachment] = []

    def placeholder(value: dict[str, Any]) -> Any:
        if value.get("_placeholder") is not True:
            return value
        num = value.get("num")
        if type(num) is not int or not 0 <= num < attachments:
            raise ArgumentError("a placeholder without its attachment")
        found.append(Attachment(num))
        return found[-1]

    scan = _scanner(
        json.JSONDecoder(
            parse_int=_small_int, parse_float=_small_number, parse_constant=_refuse_constant, object_hook=placeholder
        )
    )

    def argument(value: object, raw: str) -> Argument | Attachment:
        nested = bool(found)
        found.clear()
        if type(value) is Attachment:
            return value
        return Json(raw, NESTED_BINARY) if nested else argument_of(value, raw)

    with uncollected():
        return _split(text, scan, argument)


def join(head: bytes, args: Sequence[Argument], attachments: list[Message]) -> bytes:
    """``args``, after ``head`` (JSON, or empty for none), as a JSON array; binary is appended to ``attachments``.

    None of ``args`` may be Oversized.
    """
    parts = [head] if head else []
    for arg in args:
        if type(arg) is str:
            parts.append(quote(arg))
        elif type(arg) is Json:
            parts.append(arg.raw.encode())
        else:
            parts.append(b'{"_placeholder":true,"num":%d}' % len(attachments))
            attachments.append(Message(False, arg))  # type: ignore[arg-type]  # neither str nor Json: bytes
    return b"[" + b",".join(parts) + b"]"


def quote(text: str) -> bytes:
    """``text`` as a JSON string; an unpaired surrogate is written as its escape."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return json.dumps(text).encode()


def memory_bytes(value: Argument | Attachment) -> int:
    """What ``value`` takes in memory, about."""
    if isinstance(value, (Json, Oversized)):
        return OBJECT_BYTES + sys.getsizeof(value[0])
    return sys.getsizeof(value)


@contextmanager
def uncollected() -> Iterator[None]:
    """Values of many small objects are built two times as fast where the collector does not look at them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def argument_of(value: object, raw: str) -> Argument:
    """The argument whose text is ``raw`` and which is ``value`` where it is a string."""
    if raw[0] != '"':
        return Json(raw)
    assert type(value) is str
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return Json(raw, SURROGATE)
    return value


def _split(text: str, scan: Scan, argument: Callable[[object, str], Any]) -> list[Any]:
    if text[:1] != "[":
        raise ArgumentError("not a JSON array")
    found: list[Any] = []
    at = _skip_blank(text, 1)
    separator = ","
    if text[at : at + 1] == "]":
        separator, at = "]", at + 1
    while separator == ",":
        if len(found) == MAX_ARGUMENTS:
            return found
        try:
            value, end = scan(text, at)
        except RecursionError:
            # its end is unknown; the arguments before it are worth an answer
            return [*found, Json(text[at:], _TOO_DEEP)]
        except (ValueError, StopIteration) as error:
            raise ArgumentError("not JSON") from error
        found.append(argument(value, text[at:end]))
        at = _skip_blank(text, end)
        separator = text[at : at + 1]
        at = _skip_blank(text, at + 1)
    if separator != "]" or at < len(text):
        raise ArgumentError("not a JSON array")
    return found


def _skip_blank(text: str, at: int) -> int:
    if text[at : at + 1] > " ":  # nearly always
        return at
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()

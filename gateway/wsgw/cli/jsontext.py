"""JSON text and payloads, as the commands read and print them."""

from __future__ import annotations

import base64
import json
from typing import NoReturn


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse(text: str) -> object:
    """The value of ``text`` (RFC 8259; ``NaN`` and ``Infinity`` are refused). Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def compact(value: object) -> str:
    """``value`` as JSON text without spaces, non-ASCII as it is. Raises ValueError if JSON cannot hold it."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def as_text(payload: bytes) -> str | None:
    """The payload as text, or None if it is not UTF-8."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def quoted(payload: object) -> str:
    """A received payload for people: text as a JSON string, other bytes as ``base64:"..."``, other values as JSON."""
    if isinstance(payload, bytes):
        text = as_text(payload)
        if text is None:
            return f'base64:"{base64.b64encode(payload).decode()}"'
        payload = text
    # a lone surrogate can arrive as a JSON escape and is printed as one
    return compact(payload).encode("utf-8", "backslashreplace").decode()


def one_line(payload: bytes) -> str:
    """A payload to send, for people: JSON as it is but on one line, anything else as :func:`quoted`."""
    text = as_text(payload)
    if text is not None:
        try:
            parse(text)
        except ValueError:
            pass
        else:
            # in valid JSON a raw line end is white space between tokens
            return " ".join(text.split("\n")).replace("\r", "").strip()
    return quoted(payload)

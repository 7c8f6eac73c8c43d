"""The numbered, timed messages that every system carries: JSON text of a fixed size."""

from __future__ import annotations

import time

_FIRST = 1_000_000_000  # numbers keep their width
_EPOCH = 10**18
MIN_BYTES = 54


class PayloadError(Exception):
    """What arrived is not what was sent."""


def payload(number: int, size: int, sent_ns: int = 0) -> bytes:
    """Message ``number``, of ``size`` bytes; ``sent_ns`` is of ``time.monotonic_ns``, one clock for all processes."""
    head = b'{"seq":%d,"sent":%d,"pad":"' % (_FIRST + number, _EPOCH + sent_ns)
    return head + b"x" * (size - len(head) - 2) + b'"}'


def payload_now(number: int, size: int) -> bytes:
    """Message ``number``, sent now."""
    return payload(number, size, time.monotonic_ns())


def read(data: bytes, size: int) -> tuple[int, int]:
    """``(number, sent_ns)`` of a message of ``size`` bytes; raises PayloadError unless it is whole and unchanged."""
    try:
        number, sent_ns = int(data[7:17]) - _FIRST, int(data[25:44]) - _EPOCH
    except ValueError:
        raise PayloadError(f"not a message of ours: {data[:80]!r}") from None
    if data != payload(number, size, sent_ns):
        raise PayloadError(f"a changed message: {data[:60]!r} … {data[-40:]!r}, {len(data)} bytes")
    return number, sent_ns

"""What is fuzzed: a part of the gateway, some inputs to begin with, and the words that its inputs are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from wsgw.fanout.frames import is_utf8

MAX_PIECES = 32

Run = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """``run`` takes one input, and raises where that shows a fault: all that is documented to be raised it catches.

    ``begin`` gives it, and is entered first. ``share`` of as many cases are enough as others get, for it is slow.
    """

    name: str
    begin: Callable[[], AbstractContextManager[Run]]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    max_bytes: int = 2048
    share: float = 1.0


def plain(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """The ``begin`` of what needs nothing."""
    return lambda: nullcontext(run)


def cut(data: bytes) -> list[bytes]:
    """``data`` in pieces of a size that depends on it: as it may come from a socket. MAX_PIECES at most, about."""
    size = 1 + (data[-1] % 16 if data else 0) + len(data) // MAX_PIECES
    return [data[at : at + size] for at in range(0, len(data), size)]


def text(data: bytes) -> str:
    """``data`` as text, whatever it is."""
    return data.decode() if is_utf8(data) else data.decode("latin-1")

"""Memory that was freed goes back to the system once a great deal of it was.

The C library keeps what is freed in the middle of its heap for later. After a burst, or an attack, that would be many
megabytes which nobody needs, for as long as the process lives. Of Python's own heap, of small objects, each MiB is kept
that has a single one left; some thousand of the free lists can keep tens of megabytes.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

#: What was kept for clients must have fallen by so much, and to half of what it was: a return takes milliseconds.
LEAST_BYTES = 16 * 1024 * 1024
#: After so many looks memory is returned once more: some of it is freed a little after it stopped to count.
LOOKS_LATER = 28

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Return free memory to the system, where the C library can (glibc)."""
    # a full collection clears the free lists; with all that lives set aside it takes no time
    gc.freeze()
    gc.collect()
    gc.unfreeze()
    if _trim is not None:
        _trim(0)


class Heap:
    """``look`` now and then at how many bytes are in use."""

    __slots__ = ("_give_back", "_looks_left", "_most_bytes")

    def __init__(self, give_back: Callable[[], None] = give_back) -> None:
        self._give_back = give_back
        self._most_bytes = 0
        self._looks_left = 0

    def look(self, used_bytes: int) -> None:
        """So many are in use; returns memory when that is far less than it was."""
        if used_bytes >= self._most_bytes:
            self._most_bytes = used_bytes
        elif self._most_bytes - used_bytes >= max(LEAST_BYTES, self._most_bytes // 2):
            self._most_bytes = used_bytes
            self._looks_left = LOOKS_LATER
            self._give_back()
        if self._looks_left:
            self._looks_left -= 1
            if not self._looks_left:
                self._give_back()

"""The end of what is being done now: where what piled up meanwhile is handed on, once."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("wsgw")


class Turn:
    """``call_soon`` runs a callback at the end of the ``run`` that is going on, without one at the end of the tick.

    ``later`` is the loop's ``call_soon``. What was read is so handed on in the tick in which it was read.
    """

    __slots__ = ("_callbacks", "_later", "_running")

    def __init__(self, later: Callable[[Callable[[], None]], object]) -> None:
        self._later = later
        self._running = False
        self._callbacks: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See the class."""
        if self._running:
            self._callbacks.append(callback)
        else:
            self._later(callback)

    def call_later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` in the next tick."""
        self._later(callback)

    def run(self, function: Callable[[bytes], object], data: bytes) -> None:
        """Call ``function(data)``, then what ``call_soon`` got meanwhile, also when that raised."""
        self._running = True
        try:
            function(data)
        finally:
            self._running = False
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                try:
                    callback()
                except Exception:
                    log.exception("handing on what was read failed")

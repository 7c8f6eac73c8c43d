"""From a link to its receiver: a fault there is told, and hurts only that one client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVarTuple

from wsgw.closecodes import INTERNAL_ERROR

log = logging.getLogger("wsgw.websocket")

FAULT = "a fault of the gateway"

Ts = TypeVarTuple("Ts")


class Closable(Protocol):
    """As much of a ``Link`` as a fault needs."""

    def close(self, code: int, reason: str = "") -> None:
        """As that of ``Link``."""


def tell(link: Closable, hear: Callable[[*Ts], None], *args: *Ts) -> None:
    """Call ``hear``, a method of the receiver of ``link``; what it raises is logged and closes the link with 1011."""
    try:
        hear(*args)
    except Exception as error:
        close_for_fault(link, error)


def close_for_fault(link: Closable, error: Exception) -> None:
    """Log a fault of ours with its traceback, and close ``link`` with 1011 if nothing has closed it yet."""
    log.error("a fault in a client's session; its connection is closed", exc_info=error)
    link.close(INTERNAL_ERROR, FAULT)

"""Engine.IO sessions as connections that are counted: by their address, as long as it is not known who they are."""

from __future__ import annotations

from wsgw.access.seats import Seat
from wsgw.core.edge import Edge
from wsgw.errors import RATE_LIMITED, TOO_MANY_CONNECTIONS, LimitError
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.packets import RequestRefused
from wsgw.protocols.handshake import Handshake
from wsgw.surfaces.answers import when_to_retry

_TOLD = {RATE_LIMITED: engineio.RATE_LIMITED, TOO_MANY_CONNECTIONS: engineio.TOO_MANY_CONNECTIONS}


def seat(edge: Edge, handshake: Handshake) -> None:
    """Count the session that ``handshake`` opens; raises RequestRefused."""
    try:
        handshake.seat = edge.arrive(handshake.network)
    except LimitError as error:
        raise RequestRefused(_TOLD[error.kind], when_to_retry(error)) from None


def unseat(handshake: Handshake) -> None:
    """The session has ended."""
    found, handshake.seat = handshake.seat, None
    if isinstance(found, Seat):
        found.leave()

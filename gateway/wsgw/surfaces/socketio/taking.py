"""Working off the packets of a POST."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from wsgw.protocols.engineio.engine import State
from wsgw.protocols.engineio.packets import EnginePacket
from wsgw.surfaces.socketio.session import EngineSession


class Taking:
    """Takes the packets of a POST: ``slices.Work`` that ends early where the client is to wait.

    Raises RequestRefused, and TimeoutError where the session was closed between two calls, as ``Scopes`` does.
    """

    __slots__ = ("_packets", "_session", "unfinished")

    def __init__(self, session: EngineSession, packets: Iterator[EnginePacket]) -> None:
        self._session = session
        self._packets = packets
        self.unfinished = True

    def __call__(self, until: float) -> bool:
        session = self._session
        if session.engine.state is State.LINGERING:
            raise TimeoutError
        while True:
            self.unfinished = session.engine.post_received(self._packets)
            if not self.unfinished or session.is_held_by_service or session.is_far_behind:
                return False
            if monotonic() >= until:
                return True

"""Events of a client that did not wait for the answer to its CONNECT."""

from __future__ import annotations

from wsgw.protocols.socketio.arguments import OBJECT_BYTES, Argument, Json, Oversized
from wsgw.protocols.socketio.packets import ProtocolError, SocketPacket

#: Most events of one socket that are kept, and bytes of them: names and arguments, as UTF-8, and the objects they are.
MAX_EVENTS = 1000
MAX_BYTES = 1024 * 1024


class EarlyEvents:
    """Those of one socket, in order, until its CONNECT is answered."""

    __slots__ = ("_events", "_sent_bytes", "size_bytes")

    def __init__(self) -> None:
        self._events: list[SocketPacket] = []
        self._sent_bytes = 0
        #: of what is kept, in memory
        self.size_bytes = 0

    def add(self, event: SocketPacket) -> None:
        """Keep ``event``; raises ProtocolError when there are too many, or too large ones."""
        # many small ones cost memory too
        self._sent_bytes += _size(event.name) + sum([_size(arg) for arg in event.args])
        self.size_bytes += event.memory_bytes
        if self._sent_bytes > MAX_BYTES or len(self._events) >= MAX_EVENTS:
            raise ProtocolError("too many events before CONNECT is answered")
        self._events.append(event)

    def take(self) -> list[SocketPacket]:
        """All of them; none are kept any more."""
        events, self._events, self.size_bytes = self._events, [], 0
        self._sent_bytes = 0
        return events


def _size(value: Argument) -> int:
    if isinstance(value, Oversized):
        return OBJECT_BYTES
    if isinstance(value, Json):
        value = value.raw
    if isinstance(value, str) and not value.isascii():
        value = value.encode(errors="surrogatepass")
    return len(value) + OBJECT_BYTES

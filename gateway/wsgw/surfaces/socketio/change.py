"""A change of a socket's subscriptions that its client asks for."""

from __future__ import annotations

from typing import NamedTuple

from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import memory_bytes

#: What one that waits takes in memory, beside the name's characters.
CHANGE_BYTES = 300


class Change(NamedTuple):
    """To ``name``, or (``leave``) no more."""

    name: str
    ack: Ack | None
    leave: bool

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return CHANGE_BYTES + memory_bytes(self.name)

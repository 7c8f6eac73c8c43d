"""Acks that say no more than whether: those of one tick are written together, for one written by itself is dear."""

from __future__ import annotations

import asyncio

from wsgw.errors import GatewayError, Kind
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.payloads import TRUE, error_of


class Answers:
    """Those of one socket."""

    __slots__ = ("_kept", "_socket")

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._kept: dict[tuple[Kind, str] | None, list[Ack]] = {}  # by why they are refused, None where they are not

    def add(self, ack: Ack | None, error: GatewayError | None) -> None:
        """Answer ``ack``, if there is one, at the end of the tick: with ``error``, or that all is well."""
        if ack is not None:
            if not self._kept:
                asyncio.get_running_loop().call_soon(self.send)
            self._kept.setdefault(None if error is None else (error.kind, error.message), []).append(ack)

    def send(self) -> None:
        """Answer now."""
        kept, self._kept = self._kept, {}
        if kept:
            self._socket.answer_each(
                [(acks, (TRUE if why is None else error_of(GatewayError(*why)),)) for why, acks in kept.items()]
            )

    def clear(self) -> None:
        """The client is gone."""
        self._kept.clear()

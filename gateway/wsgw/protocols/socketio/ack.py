"""The answer that a client asked for with an event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from wsgw.protocols.socketio.arguments import Argument


class Answerer(Protocol):
    """Where answers go (``Socket``)."""

    def answer(self, acks: Iterable[Ack], *args: Argument) -> None:
        """Answer each of ``acks`` that is still unanswered with ``args``."""


class Ack:
    """Answers one event of the client; later if need be. A second call, or one after the end, does nothing."""

    __slots__ = ("_socket", "answered", "id")

    def __init__(self, socket: Answerer, id: int) -> None:
        self.id = id
        self._socket = socket
        #: whoever answers it takes note of that here
        self.answered = False

    def __call__(self, *args: Argument) -> None:
        self._socket.answer([self], *args)


def claim(acks: Iterable[Ack]) -> list[int]:
    """The ids of those that are still to be answered; then they count as answered."""
    ids: list[int] = []
    for ack in acks:
        if not ack.answered:
            ack.answered = True
            ids.append(ack.id)
    return ids

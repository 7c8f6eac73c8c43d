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

    __slots__ = ("_answered", "_socket", "id")

    def __init__(self, socket: Answerer, id: int) -> None:
        self.id = id
        self._socket = socket
        self._answered = False

    def __call__(self, *args: Argument) -> None:
        self._socket.answer([self], *args)

    def claim(self) -> bool:
        """Whether the answer is still to be given; then it counts as given."""
        answered, self._answered = self._answered, True
        return not answered

"""What surrounds the Engine.IO state machine: the seam through which it acts."""

from __future__ import annotations

from typing import Protocol

from wsgw.fanout.frames import Message
from wsgw.protocols.longtext import Content


class EngineShell(Protocol):
    """What an engine asks of the shell around it. No call may raise or block."""

    def message_received(self, data: Content) -> None:
        """One message for the protocol above."""

    def needless(self) -> None:
        """The client sent a packet that says nothing; too many of them are a flood."""

    def send(self, packet: Message) -> None:
        """Queue a packet behind everything sent before."""

    def answer_poll(self, packet: Message | None) -> None:
        """Answer the poll in flight with ``packet`` alone, or (None) with what waits in the queue."""

    def reply_to_probe(self) -> None:
        """Write ``3probe`` to the WebSocket, past the queue."""

    def switch(self) -> None:
        """Write the queue, and everything sent from now on, to the WebSocket."""

    def drop_probe(self, code: int) -> None:
        """Close the WebSocket with ``code``; the session stays on polling."""

    def closed(self, code: int) -> None:
        """The session has ended for the protocol above, by ``code``. Called exactly once."""

    def gone(self, code: int) -> None:
        """Forget the session, close a WebSocket it has with ``code``. Called exactly once, last."""


class NoShell:
    """What is around an engine whose session is gone: nothing, and so nothing that would keep it."""

    def message_received(self, data: Content) -> None: ...

    def needless(self) -> None: ...

    def send(self, packet: Message) -> None: ...

    def answer_poll(self, packet: Message | None) -> None: ...

    def reply_to_probe(self) -> None: ...

    def switch(self) -> None: ...

    def drop_probe(self, code: int) -> None: ...

    def closed(self, code: int) -> None: ...

    def gone(self, code: int) -> None: ...


NO_SHELL = NoShell()

"""The seam between sockets and sessions: what a session needs of a client's transport, and what it hears from it.

Everything but ``run`` is synchronous; nothing waits for a client. Two implementations of ``Link`` exist for WebSocket:
``transports.direct`` (uvicorn's protocol object itself) and ``transports.asgi`` (any ASGI server); and two of
``OneWayLink`` for answers without end, to which nothing comes back: ``transports.stream`` and
``transports.asgistream``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Batch, Encoded

#: How long a client has to finish a closing handshake before its connection is dropped.
CLOSE_TIMEOUT_SECONDS = 5.0
#: A transport that holds more than this is congested.
WRITE_HIGH_WATER_BYTES = 64 * 1024


class OneWayLink(Protocol):
    """An open connection that is written to. Calls after the connection ended do nothing."""

    async def run(self) -> None:
        """Hand over what comes until the connection is over, or at once where it lives on without the caller.

        To be awaited once; the receiver hears nothing before.
        """

    def write(self, item: Encoded) -> None:
        """Write one item."""

    def write_batch(self, batch: Batch) -> None:
        """Write all items of a batch."""

    def buffered_bytes(self) -> int:
        """Bytes written that the operating system has not taken yet."""

    def close(self, code: int, reason: str = "") -> None:
        """End the connection behind what was written, in good order; bounded in time, then as ``abort``."""

    def abort(self) -> None:
        """Drop the connection without a word; ``lost`` follows."""


class Link(OneWayLink, Protocol):
    """An open WebSocket connection: ``close`` starts, or answers, the closing handshake (RFC 6455 section 7.1.2)."""

    def ask_before(self, may_take: Callable[[], bool]) -> None:
        """Have ``may_take`` asked before messages are handed over; where it says no it has called ``pause_reading``."""

    def pause_reading(self) -> None:
        """Take nothing more from the client until ``resume_reading``; repeated calls are harmless."""

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""

    def stop_keepalive(self) -> None:
        """Send no WebSocket pings any more: the protocol above has a heartbeat of its own."""


class OneWayReceiver(Protocol):
    """What a link tells the session above it. No call may block, or raise: that is logged, and closes with 1011."""

    def writing_paused(self) -> None:
        """The transport's buffer is full: write nothing more until ``writing_resumed``."""

    def writing_resumed(self) -> None:
        """The transport takes more."""

    def lost(self, code: int) -> None:
        """The connection is gone, by ``code``: the one closed with, or 1006. Called exactly once, last."""


class Receiver(OneWayReceiver, Protocol):
    """That of a WebSocket."""

    @property
    def messages_at_a_time(self) -> int:
        """The most it is given on end: then others have their turn, and if it paused reading it gets no more."""

    def messages_received(self, messages: Sequence[Message]) -> None:
        """Whole messages of the client, in order, at least one; text is valid UTF-8."""

    def close_received(self, code: int, reason: str) -> None:
        """The client began the closing handshake; answer with ``Link.close`` when ready (1005: it gave no code)."""

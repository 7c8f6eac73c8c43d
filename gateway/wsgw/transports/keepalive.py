"""uvicorn's WebSocket protocol object, with reading that can be held back and a keepalive that minds it.

A client is dead when a ping of ours has no pong after ``ws_ping_timeout``. While nothing is read from it its pong
cannot be heard, so that time stands still; when reading goes on the client has all of it again. But a client that has
gone is dead at once when that time is over, as far as the system knows it: it may be held back for hours. One ping at
most is out, and the next one waits for its pong. The parts of uvicorn that this rests on are guarded by
tests/unit/test_pins.py.
"""

from __future__ import annotations

import select
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState


class KeepaliveProtocol(WebSocketsSansIOProtocol):
    """See the module. ``pause_reading`` and ``resume_reading`` are those of ``Link``."""

    __slots__ = ("_behind", "_reading_paused")  # in all classes of ours: smaller and faster than the base's attributes

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._reading_paused = False  # by the receiver
        self._behind = False  # nothing is read: what was read before waits to be worked off

    def pause_reading(self) -> None:
        if not self._reading_paused and not self.close_sent and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            if self.pong_timer is not None:
                self._await_pong()
            if self._behind:
                self._catch_up()
            else:
                self.transport.resume_reading()

    def keepalive_timeout(self) -> None:
        """The pong did not come in time."""
        if (self._reading_paused or self._behind) and not self.transport.is_closing():
            if self._is_gone():
                self.transport.abort()
            else:
                self._await_pong()  # it may be there, unread
        else:
            super().keepalive_timeout()

    # -- for subclasses

    def _fall_behind(self) -> None:
        """Read nothing more until ``_caught_up``."""
        if not self._behind:
            self._behind = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def _catch_up(self) -> None:
        """Have what waits worked off."""
        raise NotImplementedError

    def _caught_up(self) -> None:
        """Nothing waits any more: read on, unless the receiver paused that."""
        self._behind = False
        if not self._reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    # -- inside

    def _is_gone(self) -> bool:
        """Whether the client's end of the connection is gone, which the loop does not hear of while nothing is read."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)  # errors and ends are told unasked
        return bool(poll.poll(0))

    def _await_pong(self) -> None:
        """Give the client all its time to answer the ping that is out."""
        assert self.ping_timeout is not None
        if self.pong_timer is not None:
            self.pong_timer.cancel()
        self.ping_sent_at = self.loop.time()  # for the round trip's time, which the next ping's is taken from
        self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)

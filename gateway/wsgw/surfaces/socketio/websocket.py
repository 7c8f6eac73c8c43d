"""A WebSocket of an Engine.IO session, between its ``Link`` and its ``EngineSession``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.closecodes import ABNORMAL, GOING_AWAY, PROTOCOL_ERROR
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio.engine import Engine, State
from wsgw.shares.parting import Parting


class Owner(Protocol):
    """The session, as its WebSocket sees it (``EngineSession``)."""

    sender: Sender
    engine: Engine
    #: the session's WebSocket, or the one that probes
    websocket: WebSocketEnd | None
    #: where those are that are its no more, until their clients have answered
    parting: Parting

    @property
    def is_held(self) -> bool:
        """The client is held back: its WebSocket is not to be read."""

    def check_answers(self) -> None:
        """To be called when some of what the client sent was worked off: hold it back if it takes no answers."""

    def taken(self) -> None:
        """The client has taken some of what waited."""

    def websocket_lost(self, code: int) -> None:
        """The session's WebSocket, or the one that probes, was closed by the client, or lost (1006)."""


class WebSocketEnd:
    """A session's WebSocket, or the one that probes: implements ``Receiver``."""

    __slots__ = ("_code", "_paused", "_session", "link", "on_lost")

    messages_at_a_time = 16  # a packet costs many times what a frame does

    def __init__(self, session: Owner) -> None:
        self._session = session
        self._paused = False
        self._code = PROTOCOL_ERROR  # what it is closed with as soon as it is open, if it is not the session's then
        self.link: Link | None = None
        self.on_lost: Callable[[WebSocketEnd], None] | None = None

    def opened(self, link: Link) -> None:
        """The WebSocket is accepted; ``link`` is this object's."""
        self.link = link
        link.stop_keepalive()  # Engine.IO has a heartbeat of its own
        if self._session.websocket is not self:
            self.end(self._code)
            return
        if self._session.engine.state is State.WEBSOCKET:
            self.take_over()

    def write(self, packet: Message) -> None:
        """Write a packet past the session's queue."""
        assert self.link is not None
        self.link.write(Encoded(packet))

    def take_over(self) -> None:
        """The session's queue, and all it sends, goes here from now on."""
        assert self.link is not None
        self._session.sender.attach(self.link)
        if self._session.is_held:
            self.pause_reading()
        if self._paused:
            self._session.sender.pause()

    def end(self, code: int) -> None:
        """Close it, as soon as it is open; a client that was lost needs no closing handshake."""
        if self.link is None:
            self._code = code
        elif code == ABNORMAL:
            self.link.abort()
        else:
            if code != GOING_AWAY:  # in a stop all are to part
                self._session.parting.add(self.link)
            self.link.close(code)

    def pause_reading(self) -> None:
        """Take nothing more from it."""
        if self.link is not None:
            self.link.pause_reading()

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""
        if self.link is not None:
            self.link.resume_reading()

    def buffered_bytes(self) -> int:
        """Bytes written that the client has not taken yet, as far as is known."""
        return 0 if self.link is None else self.link.buffered_bytes()

    # -- Receiver

    def messages_received(self, messages: Sequence[Message]) -> None:
        session = self._session
        received = session.engine.websocket_received
        for message in messages:
            if session.websocket is self:
                received(message)
        session.check_answers()

    def close_received(self, code: int, reason: str) -> None:
        link = self.link
        assert link is not None
        self.lost(code)
        link.close(code)

    def writing_paused(self) -> None:
        self._paused = True
        if self._is_active():
            self._session.sender.pause()

    def writing_resumed(self) -> None:
        self._paused = False
        if self._is_active():
            self._session.sender.resume()
            self._session.taken()

    def lost(self, code: int) -> None:
        if self._session.websocket is self:
            self._session.websocket_lost(code)
        if self.on_lost is not None:
            self.on_lost(self)
        if self.link is not None:
            self._session.parting.discard(self.link)
        self.link = None  # each keeps the other

    def _is_active(self) -> bool:
        return self._session.websocket is self and self._session.engine.state is State.WEBSOCKET

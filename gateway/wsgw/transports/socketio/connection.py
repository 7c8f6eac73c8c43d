"""One Engine.IO session on its transports: the shell around ``wire.engine``.

It owns the session's sender, its one timer, the poll in flight and the WebSocket.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.errors import SLOW_CONSUMER
from wsgw.frames import Message
from wsgw.link import Link
from wsgw.outbox import Overflow
from wsgw.publication import Encoded
from wsgw.sender import Sender
from wsgw.sockets import Request
from wsgw.wire import engineio
from wsgw.wire.engine import Engine, State, Timing

#: Bytes of packets in one poll's answer; a single larger packet still goes out, alone.
POLL_BYTES = 1024 * 1024


class Service(Protocol):
    """The protocol above a session. No call may raise or block."""

    @property
    def accepted(self) -> bool:
        """The client has said what it wants; one that has not within the server's time is closed."""

    def message_received(self, data: str | bytes) -> None:
        """One message of the client."""

    def closed(self, code: int) -> None:
        """The session has ended, by close ``code`` (1000 the client closed it, 1006 it was lost). Once, last."""


class Connection:
    """See the module. Implements ``wire.engine.Port``; ``forget`` is called when the session is gone."""

    def __init__(
        self,
        sid: str,
        request: Request,
        sender: Sender,
        timing: Timing,
        connect_timeout_seconds: float,
        forget: Callable[[Connection], None],
        *,
        websocket: bool,
    ) -> None:
        self.sid = sid
        self.request = request
        self.sender = sender
        self.service: Service  # set by the server, before anything can happen
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.engine = Engine(self, timing, websocket=websocket, now=now)
        self._forget = forget
        self._connect_by = now + connect_timeout_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._poll: asyncio.Future[bytes | None] | None = None
        self._waking = False
        self._websocket: WebSocketEnd | None = None
        if not websocket:
            sender.on_queued = self._queued
        self._arm()

    # -- for the service

    def close(self, code: int) -> None:
        """End the session; what was sent before still goes out, if the client takes it in time."""
        if self.engine.state is State.WEBSOCKET:
            self.sender.finish()
        self.engine.close(code, self._loop.time())
        self._arm()

    def fail(self, code: int) -> None:
        """End the session at once."""
        self.engine.fail(code)

    # -- for the server

    def poll(self) -> bytes | asyncio.Future[bytes | None]:
        """A GET came: its answer, or what will be its answer (None: the client went away); raises Refused."""
        answer = self.engine.poll(self._loop.time())
        if answer is not None:
            return engineio.encode_payload([answer])
        if self.sender or self.engine.state is State.LINGERING:
            return self._take()
        self._poll = self._loop.create_future()
        return self._poll

    def poll_lost(self) -> None:
        """The client of the poll in flight went away."""
        self.engine.poll_lost()
        self._answer(None)

    def post_started(self) -> None:
        """See ``Engine.post_started``."""
        self.engine.post_started(self._loop.time())

    def websocket_opened(self) -> WebSocketEnd:
        """A WebSocket asks to take over the session. One that may not is closed as soon as it is open."""
        websocket = WebSocketEnd(self)
        if self.engine.websocket_opened(self._loop.time()):
            self.use(websocket)
            self._arm()
        return websocket

    def use(self, websocket: WebSocketEnd) -> WebSocketEnd:
        """The session's WebSocket, or the one that probes."""
        self._websocket = websocket
        return websocket

    def websocket_lost(self, code: int) -> None:
        """The session's WebSocket, or the one that probes, was closed by the client, or lost (1006)."""
        self._websocket = None
        self.engine.websocket_lost(code)

    def uses(self, websocket: WebSocketEnd) -> bool:
        """Whether ``websocket`` is still the session's."""
        return self._websocket is websocket

    # -- Port of the engine

    def message_received(self, data: str | bytes) -> None:
        self.service.message_received(data)

    def send(self, packet: Message) -> None:
        try:
            self.sender.send(Encoded(packet))
        except Overflow:
            self.fail(SLOW_CONSUMER.close_code)

    def answer_poll(self, packet: Message | None) -> None:
        self._answer(self._take() if packet is None else engineio.encode_payload([packet]))

    def reply_to_probe(self) -> None:
        assert self._websocket is not None
        self._websocket.write(engineio.PROBE_REPLY)

    def switch(self) -> None:
        assert self._websocket is not None
        self.sender.on_queued = None
        self._websocket.take_over()

    def drop_probe(self, code: int) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            websocket.end(code)

    def closed(self, code: int) -> None:
        self.service.closed(code)

    def gone(self, code: int) -> None:
        self.sender.on_queued = None
        self.sender.close()
        self.drop_probe(code)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget(self)

    # -- inside

    def _queued(self) -> None:
        if self._poll is not None and not self._waking:
            self._waking = True  # once per tick: what follows in it goes into the same answer
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        if self._poll is not None and self.sender:
            self._answer(self._take())

    def _take(self) -> bytes:
        """The answer to the poll in flight: what waits, as much as one answer holds."""
        lingering = self.engine.state is State.LINGERING
        items = self.sender.take(engineio.MAX_PAYLOAD_PACKETS - lingering, POLL_BYTES)
        packets = [message for item in items for message in item.messages]
        empty = not self.sender
        if lingering and empty:
            packets.append(engineio.CLOSE_PACKET)
        self.engine.poll_answered(empty=empty)
        return engineio.encode_payload(packets)

    def _answer(self, payload: bytes | None) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(payload)

    def _arm(self) -> None:
        """One timer, armed anew only when it fires or when something is due before it."""
        if self.engine.state is State.GONE:
            return
        due = min(self.engine.deadline, self._connect_by)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self.engine.tick(now)
        if now >= self._connect_by:
            self._connect_by = math.inf
            if not self.service.accepted:
                self.fail(1002)
        self._arm()


class WebSocketEnd:
    """A session's WebSocket, or the one that probes: implements ``Receiver``."""

    __slots__ = ("_connection", "_paused", "link", "on_lost")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._paused = False
        self.link: Link | None = None
        self.on_lost: Callable[[WebSocketEnd], None] | None = None

    def opened(self, link: Link) -> None:
        """The WebSocket is accepted; ``link`` is this object's."""
        self.link = link
        link.stop_keepalive()  # Engine.IO has a heartbeat of its own
        if not self._connection.uses(self):
            link.close(1002)
            return
        if self._connection.engine.state is State.WEBSOCKET:
            self.take_over()

    def write(self, packet: Message) -> None:
        """Write a packet past the session's queue."""
        assert self.link is not None
        self.link.write(Encoded(packet))

    def take_over(self) -> None:
        """The session's queue, and all it sends, goes here from now on."""
        assert self.link is not None
        self._connection.sender.attach(self.link)
        if self._paused:
            self._connection.sender.pause()

    def end(self, code: int) -> None:
        """Close it; a client that was lost needs no closing handshake."""
        if self.link is not None:
            if code == 1006:
                self.link.abort()
            else:
                self.link.close(code)

    # -- Receiver

    def messages_received(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._connection.uses(self):
                self._connection.engine.websocket_received(message)

    def close_received(self, code: int, reason: str) -> None:
        assert self.link is not None
        self.lost(code)
        self.link.close(code)

    def writing_paused(self) -> None:
        self._paused = True
        if self._is_active():
            self._connection.sender.pause()

    def writing_resumed(self) -> None:
        self._paused = False
        if self._is_active():
            self._connection.sender.resume()

    def lost(self, code: int) -> None:
        if self._connection.uses(self):
            self._connection.websocket_lost(code)
        if self.on_lost is not None:
            self.on_lost(self)

    def _is_active(self) -> bool:
        return self._connection.uses(self) and self._connection.engine.state is State.WEBSOCKET

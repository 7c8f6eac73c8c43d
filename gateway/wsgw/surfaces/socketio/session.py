"""One Engine.IO session on its transports: the shell around ``protocols.engineio.engine``.

It owns the session's sender, its one timer, the poll in flight and the WebSocket.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from wsgw.closecodes import PROTOCOL_ERROR
from wsgw.errors import SLOW_CONSUMER
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.engine import Engine, State, Timing
from wsgw.protocols.handshake import Handshake
from wsgw.surfaces.socketio.websocket import WebSocketEnd

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


class EngineSession:
    """See the module. Implements ``engine.EngineShell``; ``forget`` is called when the session is gone."""

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        open_sender: Callable[[Callable[[], None]], Sender],
        timing: Timing,
        connect_timeout_seconds: float,
        forget: Callable[[EngineSession], None],
        *,
        websocket: bool,
    ) -> None:
        self.sid = sid
        self.handshake = handshake
        self.sender = open_sender(self._overflowed)
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
        self._released: asyncio.Future[None] | None = None  # while the client is held back
        if not websocket:
            self.sender.on_queued = self._queued
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

    def hold(self) -> None:
        """Take nothing more from the client until ``release`` or the end; repeated calls are harmless.

        Its WebSocket is not read; what is left of its POST, and the answer to it, wait, but not for ever.
        """
        if self._released is None and self.engine.state is not State.GONE:
            self._released = self._loop.create_future()
            self.engine.hold()
            if self._websocket is not None and self.engine.state is State.WEBSOCKET:
                self._websocket.pause_reading()

    def release(self) -> None:
        """Undo ``hold``."""
        released, self._released = self._released, None
        if released is not None:
            released.set_result(None)
            self.engine.release(self._loop.time())
            if self._websocket is not None:
                self._websocket.resume_reading()

    # -- for the server

    @property
    def is_held(self) -> bool:
        """Between ``hold`` and ``release``."""
        return self._released is not None

    async def wait_released(self, deadline: float) -> None:
        """Returns when the client is not held back, or at ``deadline`` (the loop's time)."""
        if self._released is not None:
            await asyncio.wait([self._released], timeout=max(0, deadline - self._loop.time()))

    def poll(self) -> bytes | asyncio.Future[bytes | None]:
        """A GET came: its answer, or what will be its answer (None: the client went away); raises RequestRefused."""
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
        if self.engine.state is State.WEBSOCKET:
            self.sender.close()  # nobody is there to whom what ends with the session could be told
        self.engine.websocket_lost(code)

    def uses(self, websocket: WebSocketEnd) -> bool:
        """Whether ``websocket`` is still the session's."""
        return self._websocket is websocket

    # -- EngineShell

    def message_received(self, data: str | bytes) -> None:
        self.service.message_received(data)

    def send(self, packet: Message) -> None:
        self.sender.send(Encoded(packet))

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
        self.release()
        self.sender.on_queued = None
        self.sender.close()
        self.drop_probe(code)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget(self)

    # -- inside

    def _overflowed(self) -> None:
        self.fail(SLOW_CONSUMER.close_code)

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
                self.fail(PROTOCOL_ERROR)
        self._arm()

"""One Engine.IO session on its transports: the shell around ``protocols.engineio.engine``.

It owns the session's sender, its one timer, the poll in flight and the WebSocket. What it and its parts know of each
other ends with it, so that they are freed at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from wsgw.closecodes import PROTOCOL_ERROR
from wsgw.core.edge import Edge
from wsgw.errors import FLOOD, SLOW_CONSUMER
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.engine import Engine, State, Timing
from wsgw.protocols.floods import Flood
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.longtext import Content
from wsgw.surfaces.socketio.service import NO_SERVICE, Service, Shown
from wsgw.surfaces.socketio.websocket import WebSocketEnd

#: Answers that a client leaves untaken, and bytes of them; above it its WebSocket is not read, and no further POST of
#: it taken, until half of them.
MAX_UNTAKEN_ITEMS = 4096
MAX_UNTAKEN_BYTES = 1024 * 1024
#: Of them while there is no WebSocket: a POST that waits keeps its body as well, and one that came is taken whole.
POLLING_SHARE = 0.5
#: Longest that a client takes nothing of them before it is closed.
MAX_UNTAKEN_SECONDS = 30.0
#: Answers to one POST, and bytes of them, that are made whether the client takes any or not; the rest waits for polls.
MAX_POST_ITEMS = 2048
MAX_POST_BYTES = 8 * 1024 * 1024
#: Longest that a POST waits for NATS on end: then it is answered all the same, or its session closed where some of it
#: is not taken yet.
MAX_HOLD_SECONDS = 30.0
#: What a session takes in memory that has not connected, beside its handshake; and one that has, while it is
#: on polling, with the requests that keep it alive.
SESSION_BYTES = 3 * 1024
POLLING_BYTES = 8 * 1024
#: Who keeps less is not ended where memory is short.
LEAST_HELD_BYTES = 16 * 1024
#: Bytes of packets in one poll's answer; a single larger packet still goes out, alone.
POLL_BYTES = 1024 * 1024


class Endpoint(Protocol):
    """The server of a session."""

    edge: Edge
    timing: Timing
    connect_timeout_seconds: float

    def open_sender(self, handshake: Handshake, overflowed: Callable[[], None], /) -> Sender:
        """The sending half of a session; ``overflowed`` is called when the client lets control items pile up."""

    def accepted(self, session: EngineSession) -> None:
        """Its client has said what it wants. Once."""

    def forget(self, session: EngineSession) -> None:
        """It is gone. Once, last."""


class EngineSession:
    """See the module. Implements ``engine.EngineShell`` and ``memory.Holder``.

    ``service`` is to be set by its ``endpoint`` before anything can happen.
    """

    def __init__(self, endpoint: Endpoint, sid: str, handshake: Handshake, *, websocket: bool) -> None:
        self.sid = sid
        self.handshake = handshake
        self.sender = endpoint.open_sender(handshake, self._overflowed)
        self.service: Service
        self.shown: Shown | None = None  # see ``binding``
        self.parting = endpoint.edge.parting
        self._endpoint = endpoint
        self._edge = endpoint.edge
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.engine = Engine(self, endpoint.timing, websocket=websocket, now=now)
        self._connect_by = now + endpoint.connect_timeout_seconds  # inf once it was accepted
        self._held_bytes = 0
        #: of them, until it was accepted
        self.opening_bytes = SESSION_BYTES + handshake.size_bytes
        self._on_polling_bytes = 0  # of them, that it takes itself
        self._flood: Flood | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._poll: asyncio.Future[bytes | None] | None = None
        self._waking = False
        #: the session's WebSocket, or the one that probes
        self.websocket: WebSocketEnd | None = None
        self._held = False  # by the service
        self._behind = False  # the client takes no answers
        self._take_by = math.inf  # then it is to take some
        self._buffered_bytes = 0  # what its WebSocket held of them, when that was looked at last
        self._changed: asyncio.Future[None] | None = None  # of these, or an upgrade began; while somebody waits for it
        if not websocket:
            self.sender.on_queued = self._queued
        self.keep(self.opening_bytes)
        self._arm()

    # -- for the service

    def accepted(self) -> None:
        """The client has said what it wants; one that has not within the server's time is closed. Once."""
        self._connect_by = math.inf
        if self.engine.state is not State.WEBSOCKET:
            self._on_polling_bytes = POLLING_BYTES
        self.keep(self._on_polling_bytes - self.opening_bytes)
        self._endpoint.accepted(self)

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

        Its WebSocket is not read; what is left of its POST, and the answer to it, wait: see ``wait_released``.
        """
        self._hold(held=True, behind=self._behind)

    def release(self) -> None:
        """Undo ``hold``."""
        self._hold(held=False, behind=self._behind)

    # -- for the server

    @property
    def is_held(self) -> bool:
        """Between ``hold`` and ``release``, or too many answers are not taken."""
        return self._held or self._behind

    @property
    def is_held_by_service(self) -> bool:
        """Between ``hold`` and ``release``."""
        return self._held

    @property
    def is_far_behind(self) -> bool:
        """So many answers are not taken that the rest of a POST is to wait, which may not be in an upgrade."""
        items, size = self.sender.control
        return (items > MAX_POST_ITEMS or size > MAX_POST_BYTES) and self.engine.state is not State.UPGRADING

    def check_answers(self) -> None:
        """To be called when some of what the client sent was worked off: hold it back if it takes no answers."""
        if not self._behind and self._untaken(1.0):
            self._hold(held=self._held, behind=True)
            self._give_time()
            self._arm()

    def taken(self) -> None:
        """The client has taken some of what waited."""
        if self._behind:
            self._give_time()
            if not self._untaken(0.5):
                self._hold(held=self._held, behind=False)

    async def wait_taken(self) -> None:
        """Returns when the client may POST: it has taken the answers to what it sent before, or the session has ended.

        In an upgrade it can take none before its POST is answered: it waits for that to finish the upgrade.
        """
        while self._behind and self.engine.state is not State.UPGRADING:
            await self._change(None)

    async def wait_released(self) -> bool:
        """Returns when ``hold`` was undone, but after MAX_HOLD_SECONDS all the same; whether it was."""
        deadline = self._loop.time() + MAX_HOLD_SECONDS
        while self._held and (left := deadline - self._loop.time()) > 0:
            await self._change(left)
        return not self._held

    def keep(self, size: int) -> None:
        """``size`` bytes more are kept for the client, or fewer where it is negative; all are let go of at the end."""
        if self.engine.state is State.GONE:
            return
        self._held_bytes += size
        memory = self._edge.memory
        memory.add(size)
        if self._held_bytes > LEAST_HELD_BYTES or self._on_polling_bytes:
            memory.register(self)
        else:
            memory.discard(self)

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
        self.websocket = websocket
        return websocket

    def websocket_lost(self, code: int) -> None:
        """The session's WebSocket, or the one that probes, was closed by the client, or lost (1006)."""
        self.websocket = None
        if self.engine.state is State.WEBSOCKET:
            self.sender.close()  # nobody is there to whom what ends with the session could be told
        self.engine.websocket_lost(code)

    # -- Holder

    def held_bytes(self) -> int:
        return self._held_bytes

    def evict(self) -> None:
        self.fail(SLOW_CONSUMER.close_code)

    # -- EngineShell

    def message_received(self, data: Content) -> None:
        self.service.message_received(data)

    def needless(self, count: int = 1) -> None:
        now = self._loop.time()
        if self._flood is None:
            self._flood = Flood(now)
        if self._flood.add(count, now):
            self._edge.refused(FLOOD.name, "needless packets on a Socket.IO connection")
            self.fail(FLOOD.close_code)

    def send(self, packet: Message) -> None:
        self.sender.send(Encoded(packet))

    def answer_poll(self, packet: Message | None) -> None:
        self._answer(self._take() if packet is None else engineio.encode_payload([packet]))

    def reply_to_probe(self) -> None:
        assert self.websocket is not None
        self.websocket.write(engineio.PROBE_REPLY)
        self._tell_change()  # see wait_taken

    def switch(self) -> None:
        assert self.websocket is not None
        self.sender.on_queued = None
        self.websocket.take_over()
        size, self._on_polling_bytes = self._on_polling_bytes, 0
        self.keep(-size)
        self.taken()

    def drop_probe(self, code: int) -> None:
        websocket, self.websocket = self.websocket, None
        if websocket is not None:
            websocket.end(code)

    def closed(self, code: int) -> None:
        self.service.closed(code)

    def gone(self, code: int) -> None:
        self._hold(held=False, behind=False)
        self.sender.on_queued = None
        self.sender.close()
        self.drop_probe(code)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._edge.memory.add(-self._held_bytes)
        self._edge.memory.discard(self)
        self._held_bytes = 0
        self.service = NO_SERVICE
        self._endpoint.forget(self)

    # -- inside

    def _overflowed(self) -> None:
        self.fail(SLOW_CONSUMER.close_code)

    def _untaken(self, share: float) -> bool:
        """Whether more answers than that ``share`` of the bounds wait."""
        if self.engine.state is not State.WEBSOCKET:
            share *= POLLING_SHARE
        items, size = self.sender.control
        return items > share * MAX_UNTAKEN_ITEMS or size > share * MAX_UNTAKEN_BYTES

    def _hold(self, *, held: bool, behind: bool) -> None:
        before = self.is_held
        self._held = held and self.engine.state is not State.GONE
        self._behind = behind and self.engine.state is not State.GONE
        if not self._behind:
            self._take_by = math.inf
        self._tell_change()
        if self.is_held is before:
            return
        if before:
            self.engine.release(self._loop.time())
            if self.websocket is not None:
                self.websocket.resume_reading()
        else:
            self.engine.hold()
            if self.websocket is not None and self.engine.state is State.WEBSOCKET:
                self.websocket.pause_reading()

    def _tell_change(self) -> None:
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    async def _change(self, timeout_seconds: float | None) -> None:
        """Returns at the next change of what holds the client, but after ``timeout_seconds`` all the same."""
        if self._changed is None:
            self._changed = self._loop.create_future()
        await asyncio.wait([self._changed], timeout=timeout_seconds)

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
        self.taken()
        return engineio.encode_payload(packets)

    def _answer(self, payload: bytes | None) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(payload)

    def _arm(self) -> None:
        """One timer, armed anew only when it fires or when something is due before it."""
        if self.engine.state is State.GONE:
            return
        due = min(self.engine.deadline, self._connect_by, self._take_by)
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
            self.fail(PROTOCOL_ERROR)
        if now >= self._take_by:
            self._check_taken()
        self._arm()

    def _check_taken(self) -> None:
        """The client took nothing of what waits, unless it is slow and its WebSocket holds less of it than before."""
        before = self._buffered_bytes
        self._give_time()
        if self._buffered_bytes >= before:
            self.fail(SLOW_CONSUMER.close_code)

    def _give_time(self) -> None:
        """To take some of the answers, from now."""
        self._take_by = self._loop.time() + MAX_UNTAKEN_SECONDS
        self._buffered_bytes = 0 if self.websocket is None else self.websocket.buffered_bytes()

"""uvicorn's sans-I/O WebSocket protocol object as a ``Link``: no ASGI message, queue or await per WebSocket message.

The HTTP protocol makes a ``DirectProtocol`` of each handshake and calls its ``upgraded``; it offers itself to the
application in ``scope["extensions"]["wsgw.direct"]``. From ``attach`` on it hands messages to a ``Receiver`` and takes
finished frames. The parts of uvicorn and websockets that this rests on are guarded by tests/unit/test_pins.py.

What one read brings is worked off in slices (``shares.slices``), a chunk of frames after the other: while something is
left of it nothing more is read. A receiver that pauses reading gets no further chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from wsgw.closecodes import INVALID_DATA
from wsgw.core.edge import Edge
from wsgw.errors import FLOOD, NO_MEMORY, SLOW_CONSUMER
from wsgw.fanout.frames import Message, is_utf8
from wsgw.fanout.link import WRITE_HIGH_WATER_BYTES, Receiver
from wsgw.fanout.publication import Batch, Encoded
from wsgw.protocols.floods import Flood
from wsgw.protocols.websocket.clientframes import PING, PONG, ClientFrames, Control
from wsgw.transports.receivers import close_for_fault, tell
from wsgw.transports.upgrading import UpgradingProtocol

#: Behind a read of this size, with what was kept for it, others have their turn even if it is few frames: they may take
#: long, and the loop would read up to 32 times on end.
LARGE_READ_BYTES = 16 * 1024

_PONG = 0x8A


class _Flag:
    """As much of an ``asyncio.Event`` as is used once there is a receiver, in a tenth of its memory."""

    __slots__ = ("_value",)

    def __init__(self, value: bool) -> None:
        self._value = value

    def set(self) -> None:
        self._value = True

    def clear(self) -> None:
        self._value = False

    def is_set(self) -> bool:
        return self._value


class DirectProtocol(UpgradingProtocol):
    """See the module. Implements ``Link`` once ``attach`` was called."""

    __slots__ = ("_chunk", "_ending", "_flood", "_frames", "_may_take", "_queued")

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, edge: Edge) -> None:
        super().__init__(config, server_state, app_state, edge=edge)
        self._frames: ClientFrames | None = None  # from ``attach`` until nothing more is listened to
        self._chunk = 1  # frames at a time
        self._may_take: Callable[[], bool] | None = None  # is asked before each chunk
        self._queued = False  # in ``Slices``
        self._ending = False  # what comes is a frame that ends the connection, for the library to read
        self._flood: Flood | None = None

    def attach(self, receiver: Receiver, max_message_bytes: int) -> DirectProtocol:
        """Take the accepted connection over for ``receiver``, which hears nothing before ``run``.

        To be called without an await after ``accept``. Messages over ``max_message_bytes`` close it (1009).
        """
        self._receiver = receiver
        self._chunk = receiver.messages_at_a_time
        self._frames = ClientFrames(max_message_bytes)
        self.writable = cast("asyncio.Event", _Flag(self.writable.is_set()))
        self.conn.max_message_size = max_message_bytes
        if not self.disconnected and not self.transport.is_closing():
            self._writes = True
            self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        return self

    async def run(self) -> None:
        """Hand over what came before the accept, and return: the connection lives on without the application's task.

        Everything else is handed over as it comes. To be called without an await after ``attach``.
        """
        early, self._early = self._early, None
        if early is not None and self._frames is not None:
            self._frames.feed(bytes(early), 0)
            self._go_on(self._edge.slices.until())

    # -- Link

    def ask_before(self, may_take: Callable[[], bool]) -> None:
        self._may_take = may_take

    def write(self, item: Encoded) -> None:
        if self._writes:
            self.transport.write(item.frames)

    def write_batch(self, batch: Batch) -> None:
        if self._writes:
            self.transport.write(batch.frames)

    def buffered_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    # -- Holder

    def evict(self) -> None:
        """Close with 4008 where that can be said."""
        if self._frames is None or self.close_sent:
            self.abort()
        else:
            self._end(SLOW_CONSUMER.close_code, NO_MEMORY.summary)

    # -- uvicorn's side

    def data_received(self, data: bytes) -> None:
        frames = self._frames
        if frames is None or self._behind:
            self._received_aside(data)
            return
        slices = self._edge.slices
        # it takes its turn, or one tick had to bear what all send who sent something
        if slices.spent() or (self._may_take is not None and not self._may_take()):
            frames.feed(data, 0)
            if frames.unread:
                self._fall_behind()
                self._catch_up()
            self._count()
            return
        until = slices.until() if len(data) + self._kept_bytes >= LARGE_READ_BYTES else 0.0
        self._take(frames.feed(data, self._chunk))
        if until or frames.kept_bytes != self._kept_bytes:
            self._go_on(until)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._receiver is not None:
            tell(self, self._receiver.writing_paused)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._receiver is not None:
            tell(self, self._receiver.writing_resumed)

    # -- working off what was read

    def _received_aside(self, data: bytes) -> None:
        """Before ``attach``, after the last frame that counts, or what a transport had read when it was paused."""
        if self._frames is not None:
            self._frames.feed(data, 0)
            self._keep(self._frames.kept_bytes)
        elif self._ending:
            self._feed_library(data)
        elif self._receiver is None:
            super().data_received(data)
        elif self._edge.slices.spent():  # it is ended: what comes is passed over, as fast as others let it
            self._fall_behind()
            self._catch_up()

    def _go_on(self, until: float) -> None:
        """Work until then (0.0: until the clock of the slices says so) at what is left; let it queue, and count it."""
        frames = self._frames
        if frames is not None and frames.unread and not until:
            until = self._edge.slices.until()
        if (until and monotonic() >= until) or self._work(until):
            self._fall_behind()
            self._catch_up()
        elif self._behind:
            self._caught_up_unless_held()
        self._count()

    def _work(self, until: float) -> bool:
        """Take chunk after chunk until then, one at least; whether something is left that may be taken."""
        while (frames := self._frames) is not None and frames.unread:
            if self._reading_paused or (self._may_take is not None and not self._may_take()):
                self._fall_behind()
                return False
            self._take(frames.feed(b"", self._chunk))
            if monotonic() >= until:
                return self._frames is not None and self._frames.unread
        return False

    def _catch_up(self) -> None:
        if not self._queued:
            self._queued = True
            self._edge.slices.queue(self._work_in_turn)

    def _work_in_turn(self, until: float) -> bool:
        """The ``Work`` of this connection."""
        try:
            more = self._work(until)
        except BaseException:
            self.abort()  # it would stand still for ever
            raise
        self._queued = more
        if not more and self._behind:
            self._caught_up_unless_held()
        self._count()
        return more

    def _caught_up_unless_held(self) -> None:
        if self._frames is None or not self._frames.unread:
            self._caught_up()
            if self._ended_early:
                self.transport.close()

    def _count(self) -> None:
        frames = self._frames
        if frames is not None and frames.kept_bytes != self._kept_bytes:
            self._keep(frames.kept_bytes)

    def _take(self, items: Sequence[Message | Control | bytes]) -> None:
        """Do what a chunk says, in its order: what answers a ping is not behind what answers a message after it."""
        messages: list[Message] = []
        controls: list[Control] | None = None  # pings among them came before ``messages``
        for item in items:
            if type(item) is Message:
                text, payload = item
                if not text or payload.isascii() or is_utf8(payload):
                    messages.append(item)
                    continue
            elif type(item) is Control:
                if controls is None:
                    controls = []
                if messages and item.opcode == PING:
                    self._controls_received(controls)
                    self._messages_received(messages)
                    controls, messages = [], []
                controls.append(item)
                continue
            self._controls_received(controls)
            controls = None
            self._messages_received(messages)
            messages = []
            if isinstance(item, Message):
                self._refuse_text(item.data)
            else:
                self._ending_received(cast("bytes", item))
                return
        if controls is not None:
            self._controls_received(controls)
        if messages and not self.close_sent and self._receiver is not None:
            try:  # as ``_messages_received``, without its call: this is done for every read
                self._receiver.messages_received(messages)
            except Exception as error:
                close_for_fault(self, error)

    def _messages_received(self, messages: list[Message]) -> None:
        if messages and not self.close_sent and self._receiver is not None:
            tell(self, self._receiver.messages_received, messages)

    def _refuse_text(self, data: bytes) -> None:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self.close(INVALID_DATA, f"invalid UTF-8 in a text message at byte {error.start}")

    def _controls_received(self, controls: list[Control] | None) -> None:
        """Answer pings, in one write; end who sends nothing but such."""
        if controls is None:
            return
        count = len(controls)
        pongs: list[bytes] = []
        for opcode, data in controls:
            if opcode == PING:
                pongs.append(bytes((_PONG, len(data))) + data)
            elif opcode == PONG and data == self.pending_ping_payload:
                self.handle_pong(Frame(Opcode.PONG, data))
                count -= 1  # we asked for it
        if pongs and self.writable.is_set():  # a client that does not read gets none
            self.transport.write(b"".join(pongs))
        if not count:
            return
        now = monotonic()
        if self._flood is None:
            self._flood = Flood(now)
        if self._flood.add(count, now) and not self.close_sent:
            self._edge.refused(FLOOD.name, "a WebSocket that sends control frames or empty fragments without end")
            self._end(FLOOD.close_code, FLOOD.summary)

    # -- frames that end the connection

    def _ending_received(self, data: bytes) -> None:
        """The client's close, or no frame at all, begins ``data``; what has been listened to is over with it."""
        frames, conn = self._frames, self.conn
        if frames is None:
            return  # by a fault in a receiver, or by its close
        conn.current_size = frames.fragments_bytes
        conn.parser = conn.parse()
        next(conn.parser)
        self._stop_listening()
        self._ending = True
        self._feed_library(data)

    def _feed_library(self, data: bytes) -> None:
        """Give the library's parser ``data``, and do what it says when it has seen enough."""
        conn = self.conn
        conn.receive_data(data)
        conn.events_received()
        writes = conn.data_to_send()
        if conn.parser_exc is not None:
            assert conn.close_sent is not None
            self._fail(conn.close_sent.code)
            self.transport.write(b"".join(writes))
        elif conn.close_rcvd is not None:
            self._close_received()  # the answer to it is the receiver's, not the library's echo
        else:
            self._keep(len(conn.reader.buffer))

    def _end(self, code: int, reason: str) -> None:
        """End it for what the client does, without waiting for its answer."""
        self.conn.fail(code, reason)
        writes = self.conn.data_to_send()
        self._fail(code)
        self.transport.write(b"".join(writes))

    def _stop_listening(self) -> None:
        self._frames = None
        self._may_take = None  # who is asked has this object
        self._ending = False
        self.conn.reader.discard()
        super()._stop_listening()

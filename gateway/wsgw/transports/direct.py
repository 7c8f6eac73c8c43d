"""uvicorn's sans-I/O WebSocket protocol object as a ``Link``: no ASGI message, queue or await per WebSocket message.

``DirectProtocol`` is given to ``uvicorn.Config(ws=...)`` and offers itself to the application in
``scope["extensions"]["wsgw.direct"]``. Until ``attach`` it behaves as its base class; from then on it hands messages
to a ``Receiver`` and takes finished frames. The parts of uvicorn and websockets that this rests on are guarded by
tests/unit/test_pins.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from wsgw.frames import Message
from wsgw.link import Receiver
from wsgw.publication import Batch, Encoded

EXTENSION = "wsgw.direct"
#: How long a client has to finish a closing handshake before its connection is dropped.
CLOSE_TIMEOUT_SECONDS = 5.0
WRITE_HIGH_WATER_BYTES = 64 * 1024
MAX_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame has at most 125 bytes, two of them the code


class DirectProtocol(WebSocketsSansIOProtocol):
    """See the module. Implements ``Link`` once ``attach`` was called."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._receiver: Receiver | None = None
        self._writes = False  # frames may be written
        self._reading_paused = False
        self._code = 1006
        #: done when the connection is over; the endpoint's coroutine waits for it
        self.finished: asyncio.Future[None] = self.loop.create_future()

    def attach(self, receiver: Receiver, max_message_bytes: int) -> DirectProtocol:
        """Take the accepted connection over for ``receiver``, which hears nothing before ``begin``.

        To be called without an await after the ASGI accept. Messages over ``max_message_bytes`` close with 1009.
        """
        self._receiver = receiver
        if not self.disconnected and not self.transport.is_closing():
            self._writes = True
            self.conn.max_message_size = max_message_bytes
            self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        return self

    def begin(self) -> None:
        """Hand over what came before the accept, then everything as it comes; without an await after ``attach``."""
        receiver = self._receiver
        assert receiver is not None
        if self.disconnected:
            self._lose()
            return
        while not self.queue.empty():
            event = self.queue.get_nowait()
            if event["type"] == "websocket.receive" and not self.close_sent:
                text = event.get("text")
                message = Message(False, event["bytes"] or b"") if text is None else Message(True, text.encode())
                receiver.message_received(message)
        if self.read_paused and not self._reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()
        self.read_paused = False

    # -- Link

    def write(self, item: Encoded) -> None:
        if self._writes:
            self.transport.write(item.frames)

    def write_batch(self, batch: Batch) -> None:
        if self._writes:
            self.transport.write(batch.frames)

    def buffered_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self._writes = False
        self._code = code
        self.close_sent = True
        reason = truncated(reason)
        if self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.resume_reading()  # the client's answer must be read
        else:
            # The client's close was received and the library's echo of it held back: this is the answer. A server
            # closes the TCP connection first (RFC 6455 section 7.1.1).
            data = b"" if code == 1005 else Close(code, reason).serialize()
            self.transport.write(Frame(Opcode.CLOSE, data).serialize(mask=False))
            self.transport.close()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

    def abort(self) -> None:
        self._writes = False
        self.transport.abort()

    def pause_reading(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # -- uvicorn's side

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            super().data_received(data)
            return
        conn = self.conn
        conn.receive_data(data)
        events = conn.events_received()
        writes: Iterable[bytes] = conn.data_to_send()
        if conn.close_rcvd is not None and conn.parser_exc is None and not self.close_sent:
            writes = list(writes)[:-2]  # without the library's echo of the close and its end of stream
        for event in events:
            if isinstance(event, Frame):
                self._frame_received(event)
        if conn.parser_exc is not None:
            assert conn.close_sent is not None
            self._fail(conn.close_sent.code)
        self.transport.write(b"".join(writes))
        if conn.parser_exc is not None:
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # the base class forgets it, and logs the refusal as a fault

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._receiver is not None:
            self._receiver.writing_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._receiver is not None:
            self._receiver.writing_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._receiver is not None:
            self._lose()

    def keepalive_timeout(self) -> None:
        closing = self.close_sent or self.transport.is_closing()
        super().keepalive_timeout()
        if self._receiver is not None and not closing:
            # close() waits for the buffer of a client that does not read
            self._fail(1011)

    def shutdown(self) -> None:
        if self._receiver is None:
            super().shutdown()
        else:
            self.close(1001, "the gateway is stopping")

    # -- inside

    def _frame_received(self, frame: Frame) -> None:
        if self.close_sent and frame.opcode is not Opcode.CLOSE:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.curr_msg_data_type = "text" if frame.opcode is Opcode.TEXT else "bytes"
            self.frames = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self.frames.append(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self.handle_pong(frame)
            return
        elif frame.opcode is Opcode.CLOSE:
            self._close_received()
            return
        else:
            return  # the library has answered the ping
        if frame.fin:
            self._message_received(self.frames[0] if len(self.frames) == 1 else b"".join(self.frames))
            self.frames = []

    def _message_received(self, data: bytes) -> None:
        assert self._receiver is not None
        text = self.curr_msg_data_type == "text"
        if text and not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                self.close(1007, f"invalid UTF-8 in a text message at byte {error.start}")
                return
        self._receiver.message_received(Message(text, data))

    def _close_received(self) -> None:
        assert self._receiver is not None
        if self.close_sent:
            self.transport.close()  # the client's answer to our close
            return
        assert self.conn.close_rcvd is not None
        self._receiver.close_received(self.conn.close_rcvd.code, self.conn.close_rcvd.reason)

    def _fail(self, code: int) -> None:
        """The connection ends without a closing handshake of ours; bounded in time whatever the client reads."""
        self._writes = False
        self.close_sent = True
        self._code = code
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

    def _lose(self) -> None:
        self._writes = False
        receiver = self._receiver
        if receiver is not None and not self.finished.done():
            self.finished.set_result(None)
            receiver.lost(self._code)


def truncated(reason: str) -> str:
    """``reason`` cut to what a close frame can carry, at a character's boundary."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")

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
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from wsgw.closecodes import INVALID_DATA
from wsgw.fanout.frames import Message, is_utf8
from wsgw.fanout.link import WRITE_HIGH_WATER_BYTES, Receiver
from wsgw.fanout.publication import Batch, Encoded
from wsgw.protocols.websocket.clientframes import ClientFrames
from wsgw.transports.asgi import Event, message_of
from wsgw.transports.closing import ClosingProtocol
from wsgw.transports.receivers import close_for_fault, tell

EXTENSION = "wsgw.direct"
#: After a read of this size the client waits for the next tick: the loop would read up to 32 times on end.
LARGE_READ_BYTES = 64 * 1024


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


class DirectProtocol(ClosingProtocol):
    """See the module. Implements ``Link`` once ``attach`` was called."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._library_only = False  # frames came before the receiver: the library may stand in the middle of one
        self._frames: ClientFrames | None = None

    def accept(self, subprotocol: str | None) -> None:
        """What ``send`` does for ``websocket.accept``, at once; raises OSError when the client has gone."""
        if self.transport.is_closing() or self.disconnected:
            raise ClientDisconnected
        headers = self.response.headers
        del headers["Date"]
        for name, value in self.default_headers:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        self.handshake_complete = True
        self.conn.send_response(self.response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.start_keepalive()

    def attach(self, receiver: Receiver, max_message_bytes: int) -> DirectProtocol:
        """Take the accepted connection over for ``receiver``, which hears nothing before ``run``.

        To be called without an await after ``accept``. Messages over ``max_message_bytes`` close it (1009).
        """
        self._receiver = receiver
        self.writable = cast("asyncio.Event", _Flag(self.writable.is_set()))
        if not self.disconnected and not self.transport.is_closing():
            self._writes = True
            self.conn.max_message_size = max_message_bytes
            if not self._library_only:
                self._frames = ClientFrames(max_message_bytes)
                # the generator that parsed the request keeps it for ever; a new one begins with frames
                self.conn.parser = self.conn.parse()
                next(self.conn.parser)
            self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        return self

    async def run(self) -> None:
        """Hand over what came before the accept, and return: the connection lives on without the application's task.

        Everything else is handed over as it comes. To be called without an await after ``attach``.
        """
        receiver = self._receiver
        assert receiver is not None
        if self.disconnected:
            self._lose()
            return
        while not self.queue.empty():
            event = self.queue.get_nowait()
            if event["type"] == "websocket.receive" and not self.close_sent:
                tell(self, receiver.messages_received, (message_of(cast("Event", event)),))
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

    # -- uvicorn's side

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self._library_only = self.handshake_initiated
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self.refuse_handshake()
            return
        if self._failed or self.conn.close_rcvd is not None:
            return
        if len(data) >= LARGE_READ_BYTES:
            self.rest()
        if self._frames is None:
            self._feed_library(data)
            return
        messages: list[Message] = []
        for item in self._frames.feed(data):
            if type(item) is Message:
                text, payload = item
                if not text or payload.isascii() or is_utf8(payload):
                    messages.append(item)
                    continue
            self._messages_received(messages)
            messages = []
            if isinstance(item, Message):
                self._refuse_text(item.data)
            elif not self._feed_library(item):
                return
        self._messages_received(messages)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # the base class forgets it, and logs the refusal as a fault

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._receiver is not None:
            tell(self, self._receiver.writing_paused)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._receiver is not None:
            tell(self, self._receiver.writing_resumed)

    async def run_asgi(self) -> None:
        """As the base class', but a connection that has a receiver lives on, and keeps nothing of the request."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application")
            self.send_500_response()
            if self._receiver is not None:
                self.abort()
        else:
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if self._receiver is not None:
            del self.scope, self.request, self.response, self.queue
        elif self.close_timer is None:
            self.transport.close()

    # -- inside

    def _feed_library(self, data: bytes) -> bool:
        """Give the library's parser ``data`` and do what it says; False when nothing more is to be read."""
        conn = self.conn
        conn.receive_data(data)
        events = conn.events_received()
        writes: Iterable[bytes] = conn.data_to_send()
        if conn.close_rcvd is not None and conn.parser_exc is None and not self.close_sent:
            writes = list(writes)[:-2]  # without the library's echo of the close and its end of stream
        if conn.parser_exc is None and self.writable.is_set():
            # pongs, before the answer to a close ends the connection; a client that does not read gets none
            self.transport.write(b"".join(writes))
        for event in events:
            if isinstance(event, Frame):
                self._frame_received(event)
        if conn.parser_exc is None:
            return conn.close_rcvd is None
        assert conn.close_sent is not None
        self._fail(conn.close_sent.code)
        self.transport.write(b"".join(writes))
        return False

    def _frame_received(self, frame: Frame) -> None:
        if self.close_sent and frame.opcode is not Opcode.CLOSE:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.curr_msg_data_type = "text" if frame.opcode is Opcode.TEXT else "bytes"
            self.frames = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            if frame.data:  # any number of empty fragments would cost memory
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
            data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
            self.frames = []
            message = Message(self.curr_msg_data_type == "text", data)
            if message.text and not is_utf8(data):
                self._refuse_text(data)
            else:
                self._messages_received([message])

    def _messages_received(self, messages: list[Message]) -> None:
        if not self.close_sent and self._receiver is not None and messages:
            try:  # as ``tell`` does, without its call: this is done for every read
                self._receiver.messages_received(messages)
            except Exception as error:
                close_for_fault(self, error)

    def _refuse_text(self, data: bytes) -> None:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            self.close(INVALID_DATA, f"invalid UTF-8 in a text message at byte {error.start}")

"""uvicorn's WebSocket protocol object, with an end that suits a receiver.

A client's close waits for the receiver's answer, a close of ours is bounded in time, and ``lost`` comes exactly once.
While there is no receiver the connection ends as its base class does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State

from wsgw.closecodes import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NO_STATUS
from wsgw.fanout.frames import truncated
from wsgw.fanout.link import CLOSE_TIMEOUT_SECONDS, Receiver
from wsgw.transports.keepalive import KeepaliveProtocol
from wsgw.transports.receivers import tell

LINGER_SECONDS = 0.5

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class ClosingProtocol(KeepaliveProtocol):
    """See the module. ``close`` and ``abort`` are those of ``Link``."""

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
        self._code = ABNORMAL
        self._ended = False
        self._failed = False  # by the client's fault: what still comes is read, but not looked at

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
            data = b"" if code == NO_STATUS else Close(code, reason).serialize()
            self.transport.write(Frame(Opcode.CLOSE, data).serialize(mask=False))
            self.transport.close()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

    def abort(self) -> None:
        self._writes = False
        self.transport.abort()

    # -- uvicorn's side

    def connection_lost(self, exc: Exception | None) -> None:
        if self._receiver is None:
            super().connection_lost(exc)
            return
        # as the base class does, without the request that ``run_asgi`` has dropped
        self.stop_keepalive()
        self.connections.discard(self)
        self.disconnected = True
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None
        self._lose()

    def keepalive_timeout(self) -> None:
        closing = self.close_sent
        super().keepalive_timeout()
        if self._receiver is not None and self.close_sent and not closing:
            # close() waits for the buffer of a client that does not read
            self._fail(INTERNAL_ERROR)

    def refuse_handshake(self) -> None:
        """Answer a handshake that the library could not read, which the base class looks at no more, and close.

        Its line or headers are over the library's limits (8 KiB a line, 128 headers), or it is no WebSocket handshake.
        """
        answer = b"".join(self.conn.data_to_send())
        if not self.transport.is_closing():
            self.transport.write(answer or _BAD_REQUEST)
            self.transport.close()

    def shutdown(self) -> None:
        if self._receiver is None and self.conn.handshake_exc is not None:
            self.transport.abort()  # the base class would answer what has been answered, and fail
        elif self._receiver is None:
            if not self.handshake_initiated or self.handshake_complete:
                super().shutdown()
            # else the endpoint answers: it hears of the stop, and knows what to say
        else:
            self.close(GOING_AWAY, "the gateway is stopping")

    # -- for the subclass

    def _close_received(self) -> None:
        """The client sent a close frame: the answer to ours, or its own, which the receiver answers."""
        assert self._receiver is not None
        if self.close_sent:
            self.transport.close()
            return
        assert self.conn.close_rcvd is not None
        tell(self, self._receiver.close_received, self.conn.close_rcvd.code, self.conn.close_rcvd.reason)

    def _fail(self, code: int) -> None:
        """The connection ends without a closing handshake of ours; bounded in time whatever the client reads.

        What the client still sends is read for a while: closing with bytes unread resets the connection, and the
        close frame with the reason would be lost.
        """
        self._writes = False
        self.close_sent = True
        self._failed = True
        self._code = code
        self.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGER_SECONDS, self._end_linger)

    def _lose(self) -> None:
        """Tell the receiver that the connection is gone, if it was not told yet."""
        self._writes = False
        receiver = self._receiver
        if receiver is not None and not self._ended:
            self._ended = True
            tell(self, receiver.lost, self._code)

    # -- inside

    def _end_linger(self) -> None:
        self.transport.close()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

"""uvicorn's WebSocket protocol object, with an end that suits a receiver.

A client's close waits for the receiver's answer, a close of ours is bounded in time, and ``lost`` comes exactly once.
While there is no receiver the connection ends as its base class does.
"""

from __future__ import annotations

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


class ClosingProtocol(KeepaliveProtocol):
    """See the module. ``close`` and ``abort`` are those of ``Link``."""

    __slots__ = ("_code", "_receiver", "_writes")

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._receiver: Receiver | None = None
        self._writes = False  # frames may be written
        self._code = ABNORMAL

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
        self._stop_listening()
        self.transport.abort()

    # -- uvicorn's side

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_listening()
        if self._receiver is None:
            super().connection_lost(exc)
        else:
            # as the base class does, without the request that ``run_asgi`` has dropped
            self.stop_keepalive()
            self.connections.discard(self)
            self.disconnected = True
            if self.close_timer is not None:
                self.close_timer.cancel()
                self.close_timer = None
            self._lose()
        self._untie()

    def keepalive_timeout(self) -> None:
        closing = self.close_sent
        super().keepalive_timeout()
        if self._receiver is not None and self.close_sent and not closing:
            # close() waits for the buffer of a client that does not read
            self._fail(INTERNAL_ERROR)

    def shutdown(self) -> None:
        if self._receiver is None:
            if self.handshake_complete:
                super().shutdown()
            # else the endpoint answers: it hears of the stop, and knows what to say
        else:
            self.close(GOING_AWAY, "the gateway is stopping")

    # -- for the subclass

    def _close_received(self) -> None:
        """The client sent a close frame: the answer to ours, or its own, which the receiver answers."""
        assert self._receiver is not None
        self._stop_listening()
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
        self._code = code
        self.resume_reading()
        self._stop_listening()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGER_SECONDS, self._end_linger)

    def _lose(self) -> None:
        """Tell the receiver that the connection is gone, if it was not told yet."""
        self._writes = False
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            tell(self, receiver.lost, self._code)

    def _stop_listening(self) -> None:
        """Look at nothing more of what the client sent or sends."""
        raise NotImplementedError

    # -- inside

    def _untie(self) -> None:
        """Leave no cycle of references: what ended is freed at once, and not when the collector comes to it."""
        conn = self.conn
        vars(conn).pop("parser", None)  # a generator that stands in a method of it
        for error in (conn.parser_exc, conn.handshake_exc):
            _without_traceback(error)

    def _end_linger(self) -> None:
        self.transport.close()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)


def _without_traceback(error: BaseException | None) -> None:
    """Take from ``error``, and from what it comes of, the frames in which it was raised."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__

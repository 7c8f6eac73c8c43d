"""nats-py's client with short cuts: messages are handed over as they are read, lines are written as one piece.

The library puts each message into a queue and runs a task per subscription. Without them a message, or an interest in
a subject, costs a fraction, one connection's messages come in the order NATS sent them whatever their subscriptions,
and they wait in no queue that could overflow: a gateway that is too slow is held by TCP. The private parts used here
are guarded by tests/unit/test_pins.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import BadSubjectError, ConnectionClosedError, Error

from wsgw.broker.parser import Deliver
from wsgw.broker.stream import Stream
from wsgw.broker.subscription import Credentials
from wsgw.broker.violation import PermissionViolation
from wsgw.fanout.turn import Turn
from wsgw.tasks import within

log = logging.getLogger("wsgw.nats")

Write = Callable[[bytes], None]

#: What connecting may take beyond its timeout, which nats-py applies to each of its steps.
CONNECT_GRACE_SECONDS = 1.0
#: How long closing may wait for a server to take what it is sent.
CLOSE_SECONDS = 1.0
#: For nats-py, which cannot be told to send no pings.
NEVER_SECONDS = 24 * 3600


class DirectClient(Client):
    """See the module. Messages are delivered within runs of ``turn``; the callbacks must not raise."""

    def __init__(
        self,
        turn: Turn,
        on_close: Callable[[], None] = lambda: None,
        on_refusal: Callable[[PermissionViolation], None] = lambda refusal: None,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        super().__init__()
        self._turn = turn
        self._on_close = on_close
        self._on_refusal = on_refusal
        self._on_error = on_error
        self._direct: dict[bytes, Deliver] = {}
        self._stream: Stream | None = None

    async def open(self, server: str, credentials: Credentials, name: str, timeout_seconds: float) -> None:
        """Connect to the URL ``server``, once; raises OSError, nats.errors.Error and whatever a strange answer leads
        to, after about ``timeout_seconds`` at most TimeoutError.
        """
        connecting = self.connect(
            servers=[server],
            name=name,
            user=credentials.user,
            password=credentials.password,
            token=credentials.token,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=timeout_seconds,  # type: ignore[arg-type]  # nats-py takes any number
            ping_interval=NEVER_SECONDS,  # fences tell more
            error_cb=self._error,
            pending_size=-1,  # no limit of its own: it would wait where ``close`` cannot end it
        )
        await within(timeout_seconds + CONNECT_GRACE_SECONDS, connecting, "nats: connecting")

    async def shut(self) -> None:
        """Close, within about CLOSE_SECONDS whatever the server does."""
        try:
            await within(CLOSE_SECONDS, self.close(), "nats: closing")
        except TimeoutError:  # a stopped server takes no bytes: the socket is dropped with what it holds
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
        except Exception as error:  # whatever nats-py meets while closing, the connection is over
            log.debug("nats: closing: %r", error)

    def listen(self, subject: str, deliver: Deliver) -> int:
        """Subscribe; what comes goes to ``deliver`` as it is read. End it by ``unlisten`` of what is returned.

        Raises nats.errors.Error. The library knows nothing of it, but its own subscriptions get other numbers.
        """
        return self.listen_all([(subject, deliver)])[0]

    def listen_all(self, wanted: Sequence[tuple[str, Deliver]], write: Write | None = None) -> list[int]:
        """As ``listen`` for each of ``wanted``, all or none, in one write: by ``write`` where it is given, which sends
        it later.
        """
        if self.is_closed:
            raise ConnectionClosedError
        for subject, _ in wanted:
            if len(subject.split()) != 1:  # it would be another protocol line
                raise BadSubjectError
        numbers, lines = [], []
        for subject, deliver in wanted:
            self._sid += 1
            number = b"%d" % self._sid
            self._direct[number] = deliver
            numbers.append(self._sid)
            lines.append(b"SUB %b %b\r\n" % (subject.encode(), number))
        (write or self.write)(b"".join(lines))
        return numbers

    def unlisten(self, number: int, write: Write | None = None) -> None:
        """Undo ``listen``; nothing is delivered any more. Harmless when it is undone, or the connection is closed."""
        if self._direct.pop(b"%d" % number, None) is not None and not self.is_closed:
            (write or self.write)(b"UNSUB %d\r\n" % number)

    def write(self, lines: bytes) -> None:
        """Send protocol lines behind everything sent before. Never waits: the caller bounds what it has out."""
        if not self._pending and self._stream is not None:
            self._stream.write(lines)
            return
        self._pending.append(lines)
        self._pending_data_size += len(lines)
        kicks = self._flush_queue
        assert kicks is not None, "not connected yet"
        if kicks.empty():
            kicks.put_nowait(asyncio.get_running_loop().create_future())

    def hold(self) -> None:
        """Read nothing from NATS until ``release``."""
        if self._stream is not None:
            self._stream.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        if self._stream is not None:
            self._stream.release()

    @property
    def takes_headers(self) -> bool:
        """Whether the server understands messages with headers."""
        return bool(self._server_info.get("headers"))

    def silent_seconds(self) -> float:
        """How long NATS has said nothing although it could have been heard."""
        stream = self._stream
        return 0.0 if stream is None or stream.held else time.monotonic() - stream.heard_at

    # -- the library's

    async def _error(self, error: Exception) -> None:
        """Its error callback; if it raised, the read loop would end."""
        self._on_error(error)

    async def _read_loop(self) -> None:
        """As the library's, but the stream reads, and only what it leaves is the library's to parse."""
        assert isinstance(self._transport, TcpTransport)
        try:
            stream = self._stream = Stream(self._transport, self._direct, self._on_refusal, self._expects, self._turn)
            stream.start()
            while not self.is_closed:
                await self._ps.parse(await stream.next_line())
        except Exception as error:
            if not isinstance(error, OSError | Error):
                log.exception("nats: reading failed")
            await self._process_op_err(error)

    def _expects(self, number: bytes) -> bool:
        """Whether the library has that subscription; messages of ended ones, maybe many, would wait for its task."""
        return number.isdigit() and int(number) in self._subs

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self._on_close()  # now: the rest may wait for a server that does not read, and fail
        # all of it has been reported as unconfirmed; the library would write it to a socket that may be dead
        self._pending = []
        self._pending_data_size = 0
        self._stream = None
        await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        # the library speaks plain TCP to a server that does not ask for TLS, whatever the URL says; this is the last
        # moment before the credentials are sent
        assert self._current_server is not None, "not connected"
        if self._current_server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise Error("the URL asks for TLS but the server does not offer it")
        return super()._connect_command()

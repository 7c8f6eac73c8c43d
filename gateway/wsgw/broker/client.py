"""A client of one NATS server: messages are handed over as they are read, lines are written as one piece.

nats-py connects (``handshake``). Its client then puts each message into a queue and runs a task per subscription;
without them a message, or an interest in a subject, costs a fraction, one connection's messages come in the order NATS
sent them whatever their subscriptions, and they wait in no queue that could overflow: a gateway that is too slow is
held by TCP. Nor does it close a connection that the server keeps, as nats-py does at most of the server's errors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import monotonic

from nats.errors import BadSubjectError, ConnectionClosedError

from wsgw.broker.handshake import Handshake
from wsgw.broker.info import ServerInfo
from wsgw.broker.parser import Deliver, DirectParser, ProtocolError
from wsgw.broker.stream import Stream
from wsgw.broker.subscription import Credentials
from wsgw.broker.violation import PermissionViolation
from wsgw.fanout.turn import Turn
from wsgw.shares.repeats import Repeats

log = logging.getLogger("wsgw.nats")

Write = Callable[[bytes], None]

#: Lines that are neither messages nor refusals of subjects: servers send one in minutes.
MAX_LINES_PER_SECOND = 10_000
#: From this size on ``write_all`` copies nothing.
LARGE_BYTES = 64 * 1024
#: What is kept of an error's words.
MAX_ERROR_LENGTH = 200


class Events:
    """What a client tells of its connection; nothing here. The methods must not raise."""

    def ended(self, reason: str) -> None:
        """The connection is over; not told of a ``shut``."""

    def refused(self, violation: PermissionViolation) -> bool:
        """NATS refuses a subject; whether there was as much to refuse. Else the connection ends."""
        return True

    def error(self, said: str) -> None:
        """Another error of the server, in its words, or what was met while connecting."""

    def informed(self, info: ServerInfo) -> None:
        """What the server says of itself now."""


class DirectClient:
    """See the module. Messages are delivered within runs of ``turn``; the callbacks must not raise."""

    def __init__(self, turn: Turn, events: Events | None = None, repeats: Repeats | None = None) -> None:
        self._turn = turn
        self._events = events or Events()
        self._repeats = repeats or Repeats(log)
        self._direct: dict[bytes, Deliver] = {}
        self._stream: Stream | None = None
        self._parser: DirectParser | None = None
        self._lines_since = 0.0
        self._lines = 0  # since then
        self._pings = 0  # not answered yet
        #: of the newest subscription
        self.last_number = 0
        self.info = ServerInfo()
        #: see ``Handshake.ends``
        self.ends: datetime | None = None

    async def open(
        self, server: str, credentials: Credentials, name: str, timeout_seconds: float, known_as: str = ""
    ) -> None:
        """See ``Handshake.run``, which says what is raised."""
        handshake = Handshake(lambda error: self._events.error(str(error) or type(error).__name__))
        tcp = await handshake.run(server, credentials, name, timeout_seconds, known_as)
        parser = self._parser = DirectParser(self._direct, self._line_received, self._repeats)
        self._learned(handshake.info)
        self.ends = handshake.ends
        self._stream = Stream(tcp, parser.feed, self._turn, self._ended)
        self._stream.start()

    def shut(self) -> None:
        """Drop the connection, with what is still to be written. Nothing is told any more."""
        self._events = Events()
        self._direct.clear()
        stream, self._stream = self._stream, None
        self._parser = None
        if stream is not None:
            stream.close()

    def listen(self, subject: str, deliver: Deliver) -> int:
        """Subscribe; what comes goes to ``deliver`` as it is read. End it by ``unlisten`` of what is returned.

        Raises nats.errors.Error.
        """
        return self.listen_all([(subject, deliver)])[0]

    def listen_all(self, wanted: Sequence[tuple[str, Deliver]], write: Write | None = None) -> list[int]:
        """As ``listen`` for each of ``wanted``, all or none, in one write: by ``write`` where it is given, which sends
        it later.
        """
        if self._stream is None:
            raise ConnectionClosedError
        for subject, _ in wanted:
            if len(subject.split()) != 1:  # it would be another protocol line
                raise BadSubjectError
        numbers, lines = [], []
        for subject, deliver in wanted:
            self.last_number += 1
            number = b"%d" % self.last_number
            self._direct[number] = deliver
            numbers.append(self.last_number)
            lines.append(b"SUB %b %b\r\n" % (subject.encode(), number))
        (write or self.write)(b"".join(lines))
        return numbers

    def unlisten(self, number: int, write: Write | None = None) -> None:
        """Undo ``listen``; nothing is delivered any more. Harmless when it is undone, or the connection is closed."""
        if self._direct.pop(b"%d" % number, None) is not None:
            (write or self.write)(b"UNSUB %d\r\n" % number)

    def redirect(self, number: int, deliver: Deliver) -> None:
        """What comes for a subscription goes to ``deliver`` from now on. Harmless when it has ended."""
        if b"%d" % number in self._direct:
            self._direct[b"%d" % number] = deliver

    def write(self, lines: bytes) -> None:
        """Send protocol lines behind everything sent before. Never waits: the caller bounds what it has out.

        Does nothing when the connection is lost.
        """
        if self._stream is not None:
            self._stream.write(lines)

    def write_all(self, lines: Sequence[bytes]) -> None:
        """As ``write`` of them joined, but those of LARGE_BYTES go as they are: what joins them would be a copy, kept
        until NATS has taken it.
        """
        if self._stream is not None:
            self._stream.write_all(list(_pieces(lines)))

    def hold(self) -> None:
        """Read nothing from NATS until ``release``."""
        if self._stream is not None:
            self._stream.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        if self._stream is not None:
            self._stream.release()

    def silent_seconds(self) -> float:
        """How long NATS has said nothing although it could have been heard."""
        stream = self._stream
        return 0.0 if stream is None or stream.held else monotonic() - stream.heard_at

    # -- inside

    def _ended(self, error: Exception) -> None:
        self._events.ended(str(error) or type(error).__name__)

    def _line_received(self, line: bytes) -> None:
        verb = line[:4]
        if verb == b"-ERR":
            violation = PermissionViolation.parse(line)
            if violation is not None:  # as many as clients publish to subjects that are not permitted
                if not self._events.refused(violation):
                    raise ProtocolError("nats: more refusals than there was to refuse")
                return
        self._count_line()
        match verb:
            case b"PING":
                if not self._pings:
                    self._turn.call_soon(self._answer_pings)
                self._pings += 1
            case b"PONG" | b"+OK\r" | b"+OK ":
                pass
            case b"-ERR":
                self._events.error(line[4:].decode(errors="replace").strip().strip("'")[:MAX_ERROR_LENGTH])
            case b"INFO":
                self._informed(line[4:])
            case _:
                raise ProtocolError("nats: unknown protocol")

    def _answer_pings(self) -> None:
        pings, self._pings = self._pings, 0
        self.write(b"PONG\r\n" * pings)

    def _count_line(self) -> None:
        self._lines += 1
        if self._lines > MAX_LINES_PER_SECOND:
            now = monotonic()
            if now - self._lines_since < 1.0:
                raise ProtocolError("nats: too many protocol lines")
            self._lines_since, self._lines = now, 1

    def _informed(self, text: bytes) -> None:
        try:
            self._learned(ServerInfo.parse(text, self.info))
        except ValueError as error:
            self._repeats.say(logging.WARNING, f"nats: the server sends {error}; it is ignored")

    def _learned(self, info: ServerInfo) -> None:
        self.info = info
        if self._parser is not None:
            self._parser.allow(info.max_payload_bytes)
        self._events.informed(info)


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """``lines``, those between large ones joined."""
    small: list[bytes] = []
    for line in lines:
        if len(line) < LARGE_BYTES:
            small.append(line)
        else:
            yield b"".join(small)
            small.clear()
            yield line
    yield b"".join(small)

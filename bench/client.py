"""One connection of the load generator: greets, then counts what comes by bytes, or checks every message of it."""

from __future__ import annotations

import base64
import os
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable

from bench.frames import CLOSE, PING, PONG, TEXT, header, masked, read_header
from bench.payload import PayloadError, read
from bench.tls import TlsSocket
from bench.wires import Greeting, Wire

_TEXT_HEAD = 0x80 | TEXT
_NARROW_BUFFER_BYTES, _NARROW_SEGMENT_BYTES = 4096, 536
_NOTHING = 1 << 62  # messages that never come


class ClientError(Exception):
    """The server did something that the measurement cannot stand."""


class Client:
    """``progress`` grows towards ``goal``: bytes while counting, messages while checking.

    Three ways to take what arrives, by rising cost: whole frames of one known length (their first bytes are looked at
    by a stride over the buffer, so a heartbeat between them is seen), any frames (headers are parsed), and check.
    """

    def __init__(self, wire: Wire, channel: str, index: int, subscribe: bool) -> None:
        self.wire = wire
        self.channel = channel
        self.index = index
        self.socket = TlsSocket() if wire.secure else socket.socket()
        self.progress = 0
        self.goal = self.step = 1
        self.round = 0
        self.unit = 1  # bytes of one delivery as ``progress`` counts them
        self.close_code: int | None = None
        self.latencies: array[int] | None = None
        self.requested = self.narrow = False
        self.unsent: deque[memoryview] = deque()
        self.receive: Callable[[bytearray, int], None] = self._greeted
        self._greeting: Greeting = wire.greet(channel, subscribe)
        self._open = False
        self._carry = self._head = self._tail = self._data = b""
        self._left = self._chunk = 0
        self._stream = bytearray()
        self._size = 0
        self._next = 0
        self._acks = False

    # -- connecting

    def connect(self, port: int, source: str, *, narrow: bool) -> None:
        """Begin; ``request`` is to be called when the socket is writable.

        ``narrow`` makes the two kernels hold some 100 KB for it when it does not read, not the megabytes of loopback.
        """
        self.narrow = narrow
        self.socket.setblocking(False)
        if narrow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BUFFER_BYTES)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _NARROW_SEGMENT_BYTES)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        self.socket.bind((source, 0))
        self.socket.connect_ex(("127.0.0.1", port))
        self._port = port

    def request(self) -> None:
        """Ask for the upgrade."""
        self.requested = True
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            f"GET {self.wire.path(self.channel)} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def _greeted(self, buffer: bytearray, size: int) -> None:
        self._stream += buffer[:size]
        if not self._open:
            end = self._stream.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._stream.startswith(b"HTTP/1.1 101"):
                raise ClientError(f"the upgrade was refused: {bytes(self._stream[:200])!r}")
            self._open = True
            del self._stream[: end + 4]
            self._advance(None)
        while self.progress == 0 and (frame := read_header(self._stream, 0, len(self._stream))) is not None:
            if frame.end > len(self._stream):
                break
            content = bytes(self._stream[frame.start : frame.end])
            del self._stream[: frame.end]
            if frame.opcode >= CLOSE:
                self._control(frame.opcode, content)
            else:
                self._advance(content)

    def _advance(self, content: bytes | None) -> None:
        try:
            answer = next(self._greeting) if content is None else self._greeting.send(content)
        except StopIteration:
            self.progress = 1
        except ValueError as error:
            raise ClientError(str(error)) from None
        else:
            if answer:
                self.send(masked(answer, self.wire.opcode))

    # -- sending

    def send(self, data: bytes | memoryview) -> None:
        """Write, or keep what the socket does not take: then ``flush`` is to be called when it is writable."""
        view = memoryview(data)
        if not self.unsent:
            view = view[self._write(view) :]
        if view:
            self.unsent.append(view)

    def flush(self) -> None:
        """Write what waits."""
        while self.unsent:
            sent = self._write(self.unsent[0])
            if sent < len(self.unsent[0]):
                self.unsent[0] = self.unsent[0][sent:]
                return
            self.unsent.popleft()

    def _write(self, view: memoryview) -> int:
        try:
            return self.socket.send(view)
        except BlockingIOError:
            return 0

    # -- counting and checking

    def count(self, content: bytes, messages: int) -> None:
        """From now on count deliveries (or acks) of the size of ``content``; a round is ``messages`` of them."""
        self._quiet()
        wire = self.wire
        self.unit = len(content) + (len(header(len(content))) if wire.fixed else wire.separator)
        self.step = self.goal = messages * self.unit
        self._head = header(len(content))
        self.receive = self._count_frames if wire.fixed else self._count_stream

    def check(self, size: int, first: int, messages: int, *, acks: bool, clock: bool) -> None:
        """From now on expect messages of ``size`` bytes (or acks) numbered from ``first``, exactly and in order."""
        self._quiet()
        self.step = self.goal = messages
        self._size, self._next, self._acks = size, first, acks
        self.latencies = array("q") if clock else None
        self.receive = self._check

    def idle(self) -> None:
        """The greeting is over: answer heartbeats, expect nothing else."""
        behind = self._stream
        self._stream = bytearray()
        self.check(0, 0, _NOTHING, acks=False, clock=False)
        self._check(behind, len(behind))

    def _quiet(self) -> None:
        if self._carry or self._left or (self.receive == self._count_frames and self.progress % self.unit):
            raise ClientError("the connection is in the middle of a frame")
        self.progress = self.round = 0
        self.unit = 1
        self._stream.clear()

    def _count_frames(self, buffer: bytearray, size: int) -> None:
        if not self._carry and not 0 < (self.progress + size) % self.unit < len(self._head):
            # no header is cut at the end, so each is seen whole by what its first two bytes are
            start = -self.progress % self.unit
            heads, lengths = buffer[start : size : self.unit], buffer[start + 1 : size : self.unit]
            if heads.count(_TEXT_HEAD) == len(heads) and lengths.count(self._head[1]) == len(heads):
                self.progress += size
                return
        data, position = self._carry + buffer[:size], 0
        if not self._carry:
            position = min(-self.progress % self.unit, size)
            self.progress += position
        while (frame := read_header(data, position, len(data))) is not None:
            if data.startswith(self._head, position):
                taken = min(self.unit, len(data) - position)
                self.progress += taken
                position += taken
            elif frame.end > len(data):
                break
            else:
                self._control(frame.opcode, data[frame.start : frame.end])
                position = frame.end
        self._carry = bytes(data[position:])

    def _count_stream(self, buffer: bytearray, size: int) -> None:
        wire = self.wire
        beat_bytes = len(wire.heartbeat) + wire.separator
        if not wire.separator and (beats := self._heartbeats(buffer, size)):
            self._beat(beats)
            self.progress -= beats * beat_bytes
        data: bytes | bytearray = buffer
        if self._carry:
            data = self._carry + buffer[:size]
            size = len(data)
            self._carry = b""
        position = min(self._left, size)
        self.progress += position
        self._left -= position
        while position < size:
            frame = read_header(data, position, size)
            if frame is None or (frame.opcode >= CLOSE and frame.end > size):
                self._carry = bytes(data[position:size])
                return
            if frame.opcode >= CLOSE:
                self._control(frame.opcode, bytes(data[frame.start : frame.end]))
                position = frame.end
                continue
            position = min(frame.end, size)
            self._left = frame.end - position
            self.progress += wire.separator + position - frame.start
            if wire.separator and (surplus := (wire.separator + frame.end - frame.start) % self.unit):
                self._beat(surplus // beat_bytes)
                self.progress -= surplus

    def _heartbeats(self, buffer: bytearray, size: int) -> int:
        """How many came, one that is cut in two included."""
        beat = self.wire.heartbeat
        most = len(beat) - 1
        beats = (self._tail + buffer[: min(size, most)]).count(beat)
        # a message holds no capital letter of the heartbeat: looking for one first is much faster
        if buffer.find(beat[:1], 0, size) >= 0:
            beats += buffer.count(beat, 0, size)
        self._tail = bytes((self._tail + buffer[max(0, size - most) : size])[-most:])
        return beats

    def _check(self, buffer: bytearray, size: int) -> None:
        now = time.monotonic_ns()
        data, position = self._carry + buffer[:size], 0
        while (frame := read_header(data, position, len(data))) is not None and frame.end <= len(data):
            content = bytes(data[frame.start : frame.end])
            beats = self.wire.beats(content)
            if frame.opcode >= CLOSE:
                self._control(frame.opcode, content)
            else:
                self._beat(beats)
                for message in self.wire.messages(self._stream, content):
                    self._message(message, now)
            position = frame.end
        self._carry = bytes(data[position:])

    def _message(self, message: bytes, now: int) -> None:
        if self._acks:
            if message != self.wire.ack(self._next):
                raise ClientError(f"{message[:80]!r} instead of the ack {self.wire.ack(self._next)!r}")
        else:
            try:
                number, sent_ns = read(message, self._size)
            except PayloadError as error:
                raise ClientError(str(error)) from None
            if number != self._next:
                raise ClientError(f"message {number} instead of {self._next}")
            if self.latencies is not None:
                self.latencies.append(now - sent_ns)
        self._next += 1
        self.progress += 1

    def _control(self, opcode: int, content: bytes) -> None:
        if opcode == PING:
            self.send(masked(content, PONG))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(content[:2], "big") if content else 1005
        elif content == self.wire.heartbeat and content:
            self._beat(1)
        else:
            raise ClientError(f"an unexpected frame: {content[:200]!r}")

    def _beat(self, beats: int) -> None:
        for _ in range(beats):
            self.send(masked(self.wire.heartbeat_answer, self.wire.opcode))

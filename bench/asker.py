"""Clients that ask: over HTTP, over Socket.IO, or by telling a process that asks over NATS (``peers/asking.py``).

``ask(count)`` returns when so many requests have their replies, ``concurrent`` of them being out at a time.
"""

from __future__ import annotations

import base64
import os
import re
import socket
from contextlib import suppress
from typing import Protocol

from bench.frames import CLOSE, masked, read_header
from bench.processes import BenchError
from bench.responder import SUBJECT
from bench.systems import System
from bench.wires import FIRST_ID, SocketIO

TIMEOUT_SECONDS = 60.0
_PAYLOAD = "x" * 128
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


class Asker(Protocol):
    """See the module."""

    def ask(self, count: int) -> None:
        """``count`` is a multiple of how many are out at a time."""


def asker_of(system: System, port: int, concurrent: int) -> Asker:
    """What asks a server of ``system``."""
    if system.kind in ("broker", "nats-py"):
        return _Told(port, concurrent)
    return _OverSocketIO(port, concurrent) if isinstance(system.wire, SocketIO) else _OverHttp(port, concurrent)


class _Connection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> None:
        received = self._socket.recv(256 * 1024)
        if not received:
            raise BenchError("who is asked closed the connection")
        self.data += received

    def until(self, what: bytes) -> bytes:
        """What comes up to the end of ``what``."""
        while (found := self.data.find(what)) < 0:
            self.read()
        return self.take(found + len(what))

    def take(self, size: int) -> bytes:
        while len(self.data) < size:
            self.read()
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken


class _Told:
    def __init__(self, port: int, concurrent: int) -> None:
        self._connection = _Connection(port)
        self._concurrent = concurrent

    def ask(self, count: int) -> None:
        line = b"%d %d\n" % (self._concurrent, count)
        self._connection.write(line)
        if self._connection.until(b"\n") != line:
            raise BenchError("another answer")


class _OverHttp:
    """A connection for each that is out."""

    def __init__(self, port: int, concurrent: int) -> None:
        self._connections = [_Connection(port) for _ in range(concurrent)]
        head = f"POST /request/{SUBJECT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(_PAYLOAD)}\r\n\r\n"
        self._request = (head + _PAYLOAD).encode()

    def ask(self, count: int) -> None:
        for _ in range(count // len(self._connections)):
            for connection in self._connections:
                connection.write(self._request)
            for connection in self._connections:
                head = connection.until(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = connection.take(int(length[1])) if length is not None else b""
                if body != _PAYLOAD.encode():
                    raise BenchError(f"no reply over HTTP: {head[:200]!r}{body[:200]!r}")


class _OverSocketIO:
    """One client."""

    def __init__(self, port: int, concurrent: int) -> None:
        self._connection = connection = _Connection(port)
        self._wire = SocketIO()
        key = base64.b64encode(os.urandom(16)).decode()
        connection.write(
            f"GET {self._wire.path(SUBJECT)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        connection.until(b"\r\n\r\n")
        greeting = self._wire.greet(SUBJECT, False)
        next(greeting)
        connection.write(masked(greeting.send(self._frame())))
        with suppress(StopIteration):
            greeting.send(self._frame())
        numbers = range(concurrent)
        self._asked = b"".join(masked(self._wire.publish(SUBJECT, _PAYLOAD.encode(), number)) for number in numbers)
        self._answers = {f'43{FIRST_ID + number}["{_PAYLOAD}"]'.encode() for number in numbers}

    def ask(self, count: int) -> None:
        for _ in range(count // len(self._answers)):
            self._connection.write(self._asked)
            left = set(self._answers)
            while left:
                frame = self._frame()
                if frame == self._wire.heartbeat:
                    self._connection.write(masked(self._wire.heartbeat_answer))
                elif frame in left:
                    left.discard(frame)
                else:
                    raise BenchError(f"no reply over Socket.IO: {frame[:200]!r}")

    def _frame(self) -> bytes:
        data = self._connection.data
        while (frame := read_header(data, 0, len(data))) is None or frame.end > len(data):
            self._connection.read()
        if frame.opcode >= CLOSE:
            raise BenchError("a control frame over Socket.IO")
        return self._connection.take(frame.end)[frame.start :]

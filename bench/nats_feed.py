"""NATS seen from the other side: a publisher that writes prepared bytes, and a subscriber that counts or checks."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable

from bench.payload import PayloadError, read
from bench.processes import BenchError
from bench.worker import NUMBERS_PER_CLIENT

_PING, _PONG = b"PING\r\n", b"PONG\r\n"
_TIMEOUT_SECONDS = 60.0


def publish_line(subject: str, payload: bytes) -> bytes:
    """One PUB of the NATS protocol."""
    return b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload)


class _Peer:
    def __init__(self, port: int, check: Callable[[], None]) -> None:
        self._check = check
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1024 * 1024)
        self._write(b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n')

    def close(self) -> None:
        self._socket.close()

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _synchronise(self) -> None:
        """Returns when the server has processed everything written."""
        self._write(_PING)
        heard = b""
        while _PONG not in heard:
            size = self._receive()
            heard += self._buffer[:size]

    def _receive(self) -> int:
        """Bytes received into the buffer, at least one."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not select.select([self._socket], [], [], 1)[0]:
            self._check()
            if time.monotonic() > deadline:
                raise BenchError(f"nothing came from NATS for {_TIMEOUT_SECONDS:g} s")
        size = self._socket.recv_into(self._buffer)
        if size == 0:
            raise BenchError("nats-server closed the connection")
        for _ in range(self._buffer.count(_PING, 0, size)):
            self._write(_PONG)
        return size


class Publisher(_Peer):
    """Its bytes are kept below what anybody drops by whoever calls it: it waits for rounds to arrive."""

    def __init__(self, port: int) -> None:
        super().__init__(port, lambda: None)
        self._synchronise()

    def publish(self, lines: bytes) -> None:
        """Write prepared PUB lines."""
        if select.select([self._socket], [], [], 0)[0]:
            self._receive()
        self._write(lines)


class Sink(_Peer):
    """Subscribes to one subject, on which messages of one size arrive; ``check`` is called while nothing comes."""

    def __init__(self, port: int, subject: str, size: int, check: Callable[[], None]) -> None:
        super().__init__(port, check)
        self._size = size
        self._unit = len(b"MSG %s 1 %d\r\n" % (subject.encode(), size)) + size + 2
        self._write(b"SUB %s 1\r\n" % subject.encode())
        self._synchronise()
        self._surplus = 0

    def take(self, messages: int) -> None:
        """Returns when so many messages more have arrived, counted by bytes."""
        wanted = messages * self._unit - self._surplus
        while wanted > 0:
            size = self._receive()
            wanted -= size - self._buffer.count(_PING, 0, size) * len(_PING)
        self._surplus = -wanted

    def check(self, senders: Iterable[int], messages: int) -> None:
        """Take ``messages`` of each of ``senders``: whole, each sender's in order, nothing else."""
        if self._surplus:
            raise BenchError(f"{self._surplus} bytes too many arrived on NATS")
        expected = dict.fromkeys(senders, 0)
        left = messages * len(expected)
        data = b""
        while left:
            size = self._receive()
            data += self._buffer[:size].replace(_PING, b"")
            whole = len(data) - len(data) % self._unit
            for start in range(0, whole, self._unit):
                sender, number = self._read(data[start : start + self._unit])
                if expected.get(sender) != number:
                    raise BenchError(f"message {number} of sender {sender} instead of {expected.get(sender)}")
                expected[sender] = number + 1
                left -= 1
            data = data[whole:]
        if data:
            raise BenchError(f"more arrived on NATS than was sent: {data[:80]!r}")

    def _read(self, message: bytes) -> tuple[int, int]:
        try:
            number, _ = read(message[-self._size - 2 : -2], self._size)
        except PayloadError as error:
            raise BenchError(f"on NATS: {error}") from None
        return divmod(number, NUMBERS_PER_CLIENT)

"""Whoever answers the requests that are measured: a process that replies what it was asked."""

from __future__ import annotations

import multiprocessing
import socket
from types import TracebackType

from bench.processes import BenchError

#: What it answers on.
SUBJECT = "ASK"
_READY_SECONDS = 30.0


def _respond(port: int, ready: multiprocessing.synchronize.Event) -> None:
    with socket.create_connection(("127.0.0.1", port)) as nats:
        nats.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        nats.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % SUBJECT.encode())
        data = b""
        while received := nats.recv(1024 * 1024):
            data += received
            replies = []
            while (end := data.find(b"\r\n")) >= 0:
                line = data[:end].split()
                if line[0] != b"MSG":
                    if line[0] == b"PING":
                        replies.append(b"PONG\r\n")
                    elif line[0] == b"PONG":
                        ready.set()
                    data = data[end + 2 :]
                    continue
                stop = end + 2 + int(line[4]) + 2
                if len(data) < stop:
                    break
                replies.append(b"PUB %b %b\r\n%b" % (line[3], line[4], data[end + 2 : stop]))
                data = data[stop:]
            nats.sendall(b"".join(replies))


class Responder:
    """A context manager; it answers from the beginning on, at the nats-server on ``port``."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready = context.Event()
        self._process = context.Process(target=_respond, args=(port, self._ready), daemon=True)

    def __enter__(self) -> Responder:
        self._process.start()
        if not self._ready.wait(_READY_SECONDS):
            self._process.kill()
            raise BenchError("the responder is not ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

"""A connection of the load generator on which events come as chunks of an answer of HTTP (RFC 9112 section 7.1)."""

from __future__ import annotations

import time

from bench.client import Client, ClientError
from bench.wires import ServerSentEvents, Wire

_LINE_END = b"\r\n"


class StreamClient(Client):
    """As ``Client``; nothing is sent behind the request, so heartbeats need no answer."""

    def request(self) -> None:
        self.requested = True
        self.send(f"GET {self.wire.path(self.channel)} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())

    @property
    def _before(self) -> bytes:
        assert isinstance(self.wire, ServerSentEvents)
        return self.wire.head

    def count(self, content: bytes, messages: int) -> None:
        self._quiet()
        self.unit = len(content)
        self.step = self.goal = messages * self.unit
        self.receive = self._count_chunks

    # -- inside

    def _greeted(self, buffer: bytearray, size: int) -> None:
        self._stream += buffer[:size]
        head, found, rest = bytes(self._stream).partition(b"\r\n\r\n")
        if found and not head.startswith(b"HTTP/1.1 200"):
            raise ClientError(f"the stream was refused: {head[:200]!r}")
        if rest.count(b"\n\n") < 1 + bool(self._before):  # the block that says ``retry`` comes first, then a place
            return
        self._stream = bytearray(rest)
        self.progress = 1

    def _count_chunks(self, buffer: bytearray, size: int) -> None:
        for start, end in self._parts(buffer, size):
            self.progress += end - start

    def _check(self, buffer: bytearray, size: int) -> None:
        now = time.monotonic_ns()
        for start, end in self._parts(buffer, size):
            self._stream += self._data[start:end]
        *blocks, rest = bytes(self._stream).split(b"\n\n")
        self._stream = bytearray(rest)
        for block in blocks:
            if block.startswith(self._before) and b"data: " in block:
                self._message(block.partition(b"data: ")[2], now)
            elif not block.startswith((b"retry: ", b"id: ")):
                raise ClientError(f"an unexpected block: {block[:200]!r}")

    def _parts(self, buffer: bytearray, size: int) -> list[tuple[int, int]]:
        """Where in ``_data`` the parts of chunks are that came, heartbeats left out, which are chunks of their own.

        ``_left`` counts a chunk's data and its line end, ``_chunk`` the data alone.
        """
        data = self._data = self._carry + buffer[:size] if self._carry else bytes(buffer[:size])
        self._carry = b""
        parts: list[tuple[int, int]] = []
        at = 0
        while at < len(data):
            if not self._left:
                stop = data.find(_LINE_END, at)
                if stop < 0:
                    self._carry = data[at:]
                    break
                self._chunk = int(data[at:stop], 16)
                if not self._chunk:
                    raise ClientError("the server ended the stream")
                self._left = self._chunk + len(_LINE_END)
                at = stop + len(_LINE_END)
                continue
            taken = min(self._left, len(data) - at)
            end = at + max(0, min(taken, self._left - len(_LINE_END)))
            if end > at and self._chunk != len(ServerSentEvents.comment):
                parts.append((at, end))
            self._left -= taken
            at += taken
        return parts


def client_of(wire: Wire, channel: str, index: int, *, subscribe: bool) -> Client:
    """What speaks ``wire``."""
    kind = StreamClient if isinstance(wire, ServerSentEvents) else Client
    return kind(wire, channel, index, subscribe)

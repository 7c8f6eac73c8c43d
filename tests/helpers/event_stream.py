"""A parser of server-sent events as HTML has it (section 9.2.6), and clients of streams on bare sockets."""

from __future__ import annotations

import asyncio
import codecs
import re
import socket
from base64 import b64decode
from typing import NamedTuple

from helpers.reading import read

_LINE_END = re.compile("\r\n|\n|\r")


class SentEvent(NamedTuple):
    """What a page is told: ``event`` is its type, ``id`` the last one of the stream so far."""

    event: str
    data: str
    id: str = ""


class EventParser:
    """Feed it bytes as they come; ``retry`` is the time to wait that was said last, in milliseconds.

    ``comments`` counts the lines that say nothing. ``id`` was said last, ``stands`` with what is complete: who lost the
    connection within an event has not had it.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self.comments = 0
        self.id = ""
        self.stands = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[SentEvent]:
        """The events that ``data`` completes."""
        self._text += self._decoder.decode(data)
        lines = _LINE_END.split(self._text)
        if self._text.endswith("\r"):  # an LF may follow, which is of the same line end
            lines[-2:] = [lines[-2] + "\r"]
        self._text = lines.pop()
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> SentEvent | None:
        if not line:
            event, data = self._event or "message", self._data
            self._event, self._data = "", []
            self.stands = self.id
            return SentEvent(event, "\n".join(data), self.id) if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comments += 1
        elif field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None


def payload_of(event: SentEvent) -> str | bytes:
    """The payload that an event without an envelope carries."""
    return b64decode(event.data, validate=True) if event.event == "binary" else event.data


class EventClient:
    """A stream on a bare socket: ``head`` is that of the answer, in lower-case names, ``events`` what came.

    ``raw`` is what came of the body, chunks taken apart; ``ended`` says how: "chunks" in good order, "eof" without.
    """

    def __init__(self, port: int, receive_buffer_bytes: int | None = None) -> None:
        self._port = port
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.setblocking(False)
        self._kept = b""
        self.parser = EventParser()
        self.events: list[SentEvent] = []
        self.status = 0
        self.head: dict[str, str] = {}
        self.raw = b""
        self.ended = ""

    async def connect(self) -> None:
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", self._port))

    async def ask(self, path: str, *headers: str, method: str = "GET", version: str = "1.1", behind: str = "") -> None:
        """Send a request, and ``behind`` with it."""
        text = "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *headers, "", behind])
        await asyncio.get_running_loop().sock_sendall(self._socket, text.encode())

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def answer(self) -> int:
        """The status, once the head of the next answer is there."""
        while b"\r\n\r\n" not in self._kept:
            await self._read()
        head, _, self._kept = self._kept.partition(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        self.status = int(line.split()[1])
        self.head = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        self._take()
        return self.status

    async def next(self) -> SentEvent:
        """The next event; ConnectionError when the stream ends before."""
        while not self.events:
            if self.ended:
                raise ConnectionError(f"the stream has ended: {self.ended}")
            await self._read()
            self._take()
        return self.events.pop(0)

    async def until_retry(self) -> int:
        """What the stream begins with."""
        while self.parser.retry is None:
            await self._read()
            self._take()
        return self.parser.retry

    async def until_position(self) -> str:
        """Where it stands, once that is told."""
        while not self.parser.id:
            await self._read()
            self._take()
        return self.parser.id

    async def body(self) -> bytes:
        """The rest of an answer that says its length."""
        length = int(self.head["content-length"])
        while len(self._kept) < length:
            await self._read()
        body, self._kept = self._kept[:length], self._kept[length:]
        return body

    async def end(self) -> str:
        """How it ends, once it does."""
        while not self.ended:
            await self._read()
            self._take()
        return self.ended

    async def gone(self) -> bytes:
        """What comes behind the end of the answer until the connection's."""
        while self.ended != "eof":
            await self._read()
            if not self._kept:
                break
        return self._kept

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """End it so that the other side is told of a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    # -- inside

    async def _read(self) -> None:
        data = await read(self._socket, 1024 * 1024)
        if data:
            self._kept += data
        else:
            self.ended = self.ended or "eof"

    def _take(self) -> None:
        if self.head.get("transfer-encoding") != "chunked":
            if "content-length" not in self.head:
                self._feed(self._kept)
                self._kept = b""
            return
        while not self.ended:
            size, found, rest = self._kept.partition(b"\r\n")
            if not found or len(rest) < int(size, 16) + 2:
                return
            length = int(size, 16)
            assert rest[length : length + 2] == b"\r\n"
            self._feed(rest[:length])
            self._kept = rest[length + 2 :]
            if not length:
                self.ended = "chunks"

    def _feed(self, data: bytes) -> None:
        self.raw += data
        self.events += self.parser.feed(data)

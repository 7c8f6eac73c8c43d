"""One HTTP request and its answer, between a connection and an ASGI application (ASGI's HTTP specification 2.3)."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Protocol

import orjson

from wsgw.access.pages import SAFE
from wsgw.errors import GatewayError, Kind
from wsgw.fanout.link import OneWayReceiver
from wsgw.protocols.http1.head import Head
from wsgw.protocols.sse.wire import failure, retry
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.stream import StreamProtocol

log = logging.getLogger("wsgw.http")

#: Where a scope offers its exchange to ``transports.openstream``.
STREAM_EXTENSION = "wsgw.stream"

#: Above it nothing more of a body is read until the application takes it.
BODY_HIGH_WATER_BYTES = 64 * 1024
#: When an EventSource comes again that was refused before it was looked at; later than after a stream, for it costs.
COME_AGAIN_MILLISECONDS = (5000, 15000)

Headers = list[tuple[bytes, bytes]]

_BAD_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_FAULT = b"Internal Server Error"


class Framing(Enum):
    """How the end of an answer is told (RFC 9112 section 6.3)."""

    LENGTH = auto()
    CHUNKS = auto()
    #: by the connection's: clients of HTTP/1.0, to whom no length can be said
    END = auto()


class Application(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Any, receive: Receive, send: Send, /) -> None: ...


class Connection(Protocol):
    """The connection, as a request sees it."""

    @property
    def default_headers(self) -> Headers:
        """What every answer begins with."""

    def write(self, data: bytes) -> None:
        """Write; does nothing when the connection is over."""

    async def written(self) -> None:
        """Returns when the client has taken enough of what was written, or is gone."""

    def took_body(self) -> None:
        """The application has taken what there was of the body, or waits for more of it."""

    def answered(self, *, keep_alive: bool) -> None:
        """The answer is complete."""

    def abort(self) -> None:
        """Drop the connection: the answer cannot be completed."""

    def stream(self, receiver: OneWayReceiver, *, chunked: bool) -> StreamProtocol:
        """Give the connection up, to an answer without end."""


def head_of(status: int, headers: Headers) -> bytes:
    """The head of an answer, up to and without the blank line."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return line + b"".join([b"%b: %b\r\n" % header for header in headers])


def refusal(kind: Kind, message: str, headers: Headers) -> bytes:
    """The whole answer, with ``headers``, to a request that is not looked at further; the connection ends with it."""
    body = orjson.dumps(GatewayError(kind, message).as_json())
    headers = [
        *headers,
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return head_of(kind.http_status, headers) + b"\r\n" + body


def refusal_of_events(kind: Kind, message: str, headers: Headers) -> bytes:
    """As ``refusal``, for an EventSource: it comes again after an answer that is 200, and after no other."""
    headers = [
        *headers,
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    body = retry(random.randint(*COME_AGAIN_MILLISECONDS)) + failure(GatewayError(kind, message))  # noqa: S311  no secret
    return head_of(200, headers) + b"\r\n" + body


class Exchange:
    """Made when a head was read; ``run`` it once. The connection feeds ``body`` and says ``wake`` of what it changed.

    The head of the answer is kept until there is something behind it: they go out in one write.
    """

    __slots__ = (
        "_connection",
        "_continues",
        "_framing",
        "_head",
        "_is_head",
        "_keep_alive",
        "_left",
        "_may_chunk",
        "_told",
        "_wake",
        "body",
        "body_complete",
        "common",
        "complete",
        "gone",
        "started",
    )

    def __init__(self, connection: Connection, head: Head) -> None:
        self._connection = connection
        self._is_head = head.method == "HEAD"
        self._keep_alive = head.keeps_alive
        self._continues = head.expects_continue and head.body_bytes != 0
        self._head = b""  # of the answer, while nothing was written of it
        self._may_chunk = head.version == "1.1"
        self._framing = Framing.LENGTH
        self._left = 0  # of the answer's length
        self._told = False  # the application has all of the body
        self._wake: asyncio.Event | None = None
        #: what the answer's head has beside its own headers, whoever answers
        self.common: Headers = SAFE
        #: what came of the body and the application has not taken
        self.body = bytearray()
        self.body_complete = head.body_bytes == 0
        #: the client is gone, or given up
        self.gone = False
        #: something of the answer has been given to the connection, or is about to
        self.started = False
        self.complete = False

    @property
    def expects(self) -> bool:
        """The client waits to be asked for the body (RFC 9110 section 10.1.1)."""
        return self._continues

    def wake(self) -> None:
        """Something has changed that the application may wait for."""
        if self._wake is not None:
            self._wake.set()

    def lose(self) -> None:
        """The client is gone, or given up: the application is told."""
        self.gone = True
        self.wake()

    def close_after(self) -> None:
        """The connection ends with the answer."""
        self._keep_alive = False

    async def run(self, application: Application, scope: Event) -> None:
        """Have ``application`` answer. Its faults are logged, and answered with 500 where that can still be."""
        try:
            await application(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._connection.abort()
        except BaseException as error:
            log.error("Exception in ASGI application", exc_info=error)
            await self._fail()
        else:
            if not self.complete and not self.gone:
                log.error("an ASGI application returned without completing its answer")
                await self._fail()

    # -- past ASGI

    def stream(self, receiver: OneWayReceiver, headers: Headers) -> StreamProtocol:
        """Answer with 200, ``headers`` and what is written to the link that is returned, which has the connection.

        Raises OSError when the client has gone. To the application it is as if the client had gone.
        """
        if self.gone:
            raise ConnectionResetError("the client has gone")
        if self.started:
            raise RuntimeError("the answer has begun, and is no stream any more")
        self._keep_alive = False
        self._start(200, [*headers])
        link = self._connection.stream(receiver, chunked=self._framing is Framing.CHUNKS)
        link.begin(self._head)
        self.body.clear()
        self.lose()
        return link

    # -- ASGI

    async def receive(self) -> Event:
        if self._continues:
            self._continues = False
            if not self.body and not self.body_complete and not self.complete:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.gone and not self.complete and (self._told or not (self.body or self.body_complete)):
            self._connection.took_body()
            if self._wake is None:
                self._wake = asyncio.Event()
            await self._wake.wait()
            self._wake.clear()
        if self.gone or self.complete:
            return {"type": "http.disconnect"}
        part, self.body = bytes(self.body), bytearray()
        self._told = self.body_complete
        self._connection.took_body()
        return {"type": "http.request", "body": part, "more_body": not self._told}

    async def send(self, message: Event) -> None:
        if self.gone:
            return
        if self.complete:
            raise RuntimeError(f"{message['type']} behind an answer that is complete")
        if not self.started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"{message['type']} where http.response.start is due")
            self._start(message["status"], list(message.get("headers", ())))
            return
        if message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']} where http.response.body is due")
        self._write(message.get("body", b""), last=not message.get("more_body", False))
        await self._connection.written()

    # -- inside

    def _start(self, status: int, headers: Headers) -> None:
        length = closes = False
        for name, value in headers:
            if _BAD_NAME.search(name) or _BAD_VALUE.search(value):
                raise RuntimeError(f"not a header: {name!r}: {value!r}")
            lower = name.lower()
            if lower == b"content-length":
                self._left = int(value)
                length = True
            elif lower == b"transfer-encoding":
                raise RuntimeError("the server chooses the transfer coding")
            elif lower == b"connection" and b"close" in value.lower():
                closes = True
        if closes or not self.body_complete:
            # what is left of the body has nobody who reads it; nor may it be taken for the next request
            self._keep_alive = False
        if not self._keep_alive and not closes:
            headers.append((b"connection", b"close"))
        if not length and not self._is_head and status not in (204, 304):
            if self._may_chunk:
                headers.append((b"transfer-encoding", b"chunked"))
            self._framing = Framing.CHUNKS if self._may_chunk else Framing.END
        self._head = head_of(status, self._connection.default_headers + headers + self.common) + b"\r\n"
        self.started = True

    def _write(self, body: bytes, *, last: bool) -> None:
        parts = [self._head] if self._head else []
        if self._is_head:
            pass
        elif self._framing is Framing.CHUNKS:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if last:
                parts.append(b"0\r\n\r\n")
        elif self._framing is Framing.END:
            parts.append(body)
        else:
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                raise RuntimeError("the answer's body is not as long as its Content-Length says")
            parts.append(body)
        self._head = b""
        if parts:
            self._connection.write(b"".join(parts))
        if last:
            self.complete = True
            self.wake()
            self._connection.answered(keep_alive=self._keep_alive)

    async def _fail(self) -> None:
        """Say 500, if nothing else was said."""
        if self.gone or self.complete:
            return
        if self.started and not self._head:
            self._connection.abort()
            return
        self._keep_alive = self.started = False
        self._framing = Framing.LENGTH
        length = (b"content-length", str(len(_FAULT)).encode())
        self._start(500, [(b"content-type", b"text/plain; charset=utf-8"), length])
        self._write(_FAULT, last=True)

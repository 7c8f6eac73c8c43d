"""Bytes of a connection, from the head of a request on: the whole application on our own protocol classes.

A case is one connection without a socket; its last byte says how it is cut, and whether an answer is waited for, which
takes NATS a while. ``$SID`` in it is a polling session that exists.
WSGW_FUZZ_NATS is the NATS server to use; without one publishes and streams are refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from fuzz.memorytransport import MemoryTransport
from fuzz.target import Run, Target, cut
from fuzz.targets.http import HEAD_WORDS, QUERY_WORDS
from fuzz.targets.proxies import HEADER_WORDS
from fuzz.targets.socketio import WORDS as PACKET_WORDS
from fuzz.targets.tokens import SECRET
from wsgw.app import create_app
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.surfaces import ops
from wsgw.transports.http11 import HttpProtocol
from wsgw.transports.proxied import entrance

NATS_VARIABLE = "WSGW_FUZZ_NATS"
#: Rounds of the loop in which what came may be worked off while the connection is there, and after it.
ROUNDS = 30
END_SECONDS = 10.0
SMALL_BYTES = 64
_SID = re.compile(rb'"sid":"([A-Za-z0-9_-]+)","upgrades":\["websocket')
_ALL = ["*", "*.>"]
SETTINGS: dict[str, Any] = {
    "channels": [
        {"name": "IN", "direction": "inbound"},
        {"name": "OUT", "direction": "outbound"},
        {"name": "BOTH", "direction": "both"},
        {"name": "chat.*", "direction": "both", "subject": "rooms.*"},
        {"name": "SUM", "direction": "request", "subject": "math.sum", "timeout": "100ms"},
        {"name": "inbox", "direction": "both", "subject": "users.{sub}.inbox"},
    ],
    "auth": {
        "jwt": {"secret": SECRET},
        "anonymous": {"subscribe": _ALL, "publish": _ALL, "request": _ALL},
        "query_parameter": "token",
    },
    "limits": {"unconnected_sessions": 20},
    "trusted_proxies": ["127.0.0.1"],
    "drain_seconds": 1,
}


class Faults(logging.Handler):
    """Errors that are logged, and exceptions that nobody awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.said.append(repr(record.exc_info[1]))

    def unawaited(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.said.append(f"{context.get('message')}: {context.get('exception')!r}")


class Application:
    """It runs between the cases, too, as far as these let it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults = Faults()
        self.loop.set_exception_handler(self.faults.unawaited)
        logging.getLogger().addHandler(self.faults)
        self.state = ServerState()
        self.sid = b"none"
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        nats = os.environ.get(NATS_VARIABLE, "nats://127.0.0.1:1")
        self.app = create_app(load({"nats": {"servers": [nats]}}, {}, ConfigFile("fuzz", SETTINGS)))
        self._lifespan = self.app.router.lifespan_context(self.app)
        await self._lifespan.__aenter__()
        if NATS_VARIABLE in os.environ:
            async with asyncio.timeout(END_SECONDS):
                while not self.app.state.gateway.readiness().ready:  # noqa: ASYNC110  polled
                    await asyncio.sleep(0.01)
        # the pings' clocks would be late: nothing runs between cases
        self.config = uvicorn.Config(
            self.app, log_config=None, ws_per_message_deflate=False, ws_ping_interval=None, proxy_headers=False
        )
        self.config.load()

    def run(self, data: bytes) -> None:
        self.loop.run_until_complete(self._case(data))

    def end(self) -> None:
        """Stop it; the loop is closed."""
        self.loop.run_until_complete(self._lifespan.__aexit__(None, None, None))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        logging.getLogger().removeHandler(self.faults)

    async def _case(self, data: bytes) -> None:
        written = await self._connection(data.replace(b"$SID", self.sid))
        assert not self.faults.said, self.faults.said
        assert b"HTTP/1.1 500" not in written
        found = _SID.search(written)
        if found is not None and found[1] != self.sid:
            before, self.sid = self.sid, found[1]
            end = b"POST /socket.io/?EIO=4&transport=polling&sid=%b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            await self._connection(end % before)

    async def _connection(self, data: bytes) -> bytes:
        transport = MemoryTransport(self.loop)
        edge = self.app.state.gateway.edge
        within = HttpProtocol(lambda: edge, ops.PATHS, self.config, self.state, {}, self.loop)
        transport.begin(entrance(within, edge))
        for piece in cut(data) if len(data) <= SMALL_BYTES else (data[: len(data) // 2], data[len(data) // 2 :]):
            if transport.is_reading():
                transport.protocol.data_received(piece)
            await asyncio.sleep(0)
        patient = data[-1:] > b"\x7f" or data[-1:].isdigit()
        for number in range(ROUNDS):
            if transport.lost or (transport.data and number > ROUNDS // 2):
                break
            await asyncio.sleep(0.001 if patient and number > ROUNDS // 2 else 0)
        transport.lose()
        tasks = set(self.state.tasks)
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=END_SECONDS)
            assert not left, "the task of a connection that is gone goes on"
        await asyncio.sleep(0)
        assert not self.state.connections
        return bytes(transport.data)


@contextmanager
def begin() -> Iterator[Run]:
    application = Application()
    try:
        yield application.run
    finally:
        application.end()


_GET = b" HTTP/1.1\r\nHost: a\r\n"
_UPGRADE = (
    _GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_POLL = b" /socket.io/?EIO=4&transport=polling"
TEXT = b"\x81\x85\x00\x00\x00\x00hello"

TARGETS = (
    Target(
        "connection",
        begin,
        (
            b"GET /sse?channel=IN&channel=chat.a&last=1" + _GET + b"Accept: text/event-stream\r\n\r\n",
            b"GET /sse/BOTH?token=x" + _GET + b"Last-Event-ID: 1.ab-3\r\n\r\n",
            b"POST /publish/OUT" + _GET + b"Content-Length: 5\r\nNats-Msg-Id: 1\r\n\r\nhello" + b"GET /healthz",
            b"POST /publish/chat.a" + _GET + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 443\r\nPOST /publish/OUT" + _GET + b"Content-Length: 1\r\n\r\nx",
            b"GET /sse/IN" + _GET + b"X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\nX-Forwarded-Host: a.example\r\n\r\n",
            b"POST /request/SUM" + _GET + b"Content-Length: 2\r\n\r\n12",
            b"OPTIONS /publish/OUT" + _GET + b"Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
            b"GET /ws/BOTH?envelope=1" + _UPGRADE + TEXT + b"\x88\x80\x00\x00\x00\x00",
            b"GET /ws/inbox" + _UPGRADE + TEXT,
            b"GET /socket.io/?EIO=4&transport=websocket" + _UPGRADE + b"\x81\x82\0\0\0\x0040",
            b"GET" + _POLL + _GET + b"\r\n",
            b"POST" + _POLL + b"&sid=$SID" + _GET + b"Content-Length: 2\r\n\r\n40",
            b"POST" + _POLL + b"&sid=$SID" + _GET + b'Content-Length: 18\r\n\r\n421["BOTH","text"]',
            b"GET" + _POLL + b"&sid=$SID" + _GET + b"\r\n",
            b"GET /socket.io/?EIO=4&transport=websocket&sid=$SID"
            + _UPGRADE
            + b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005",
        ),
        (
            *HEAD_WORDS,
            *QUERY_WORDS,
            *HEADER_WORDS,
            *PACKET_WORDS,
            b"$SID",
            b"/ws/",
            b"/sse/",
            b"/publish/",
            b"/socket.io/",
            b"chat.a",
        ),
        share=0.2,
    ),
)

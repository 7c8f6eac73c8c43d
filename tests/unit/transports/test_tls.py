"""From a connection to one within TLS: what comes when, what is told, and what is left."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
import struct
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.certificates import Pair, blind
from helpers.cycles import nothing_left
from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.waiting import eventually
from wsgw.config.limits import LimitsSettings
from wsgw.config.listening import TlsSettings
from wsgw.core.edge import Edge
from wsgw.process.certificates import Certificates
from wsgw.shares.files import Files
from wsgw.transports import tls as module
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.connection import LINGER_SECONDS, SHORT_SECONDS
from wsgw.transports.http11 import HttpProtocol
from wsgw.transports.tls import TlsEntrance, TlsTransport

ANSWER = b"HTTP/1.1 200 OK"
REQUEST = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"


async def application(scope: Event, receive: Receive, send: Send) -> None:
    body = f"{scope['scheme']} {scope['path']};".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Served:
    def __init__(self, pair: Pair) -> None:
        self.context = Certificates(TlsSettings(**pair.settings)).context
        self.server = LinkServer(application, direct=True)
        self.server.uvicorn.config.http = self._make  # type: ignore[assignment]
        self.entrances: list[TlsEntrance] = []

    def _make(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> TlsEntrance:
        def edge() -> Edge:
            return self.server.edge

        def make() -> HttpProtocol:
            return HttpProtocol(edge, (), config, server_state, app_state)

        return TlsEntrance(edge, self.context, make, server_state)

    @property
    def connections(self) -> set[Any]:
        return self.server.uvicorn.server_state.connections

    def refused(self, reason: str) -> float:
        return value(self.server.metrics, "wsgw_rejected_total", reason=reason)

    def limits(self, **limits: Any) -> None:
        self.server.edge.limits = LimitsSettings(**limits)

    async def bare(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(Pair(tmp_path))
    await made.server.start()
    async with asyncio.timeout(60):
        yield made
    await made.server.stop()


class Client:
    """A client that makes its records itself, so that a test says which bytes go when."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = blind().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hello(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    async def finish(self) -> bytes:
        """The end of the handshake, not sent."""
        while True:
            try:
                self.tls.do_handshake()
                return self.outgoing.read()
            except ssl.SSLWantReadError:
                await self.read()

    async def read(self) -> None:
        data = await self.reader.read(65536)
        assert data, "it ended"
        self.incoming.write(data)

    def sealed(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    async def answer(self, wanted: bytes) -> bytes:
        got = b""
        while wanted not in got:
            try:
                got += self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self.read()
        return got


async def test_requests_in_the_same_segment_as_the_end_of_the_handshake(served: Served) -> None:
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    end = await client.finish()
    client.writer.write(end + client.sealed(REQUEST % 1) + client.sealed(REQUEST % 2))
    got = await client.answer(b"https /2;")
    assert got.startswith(ANSWER)
    assert b"https /1;" in got
    client.writer.close()


async def test_a_handshake_byte_by_byte(served: Served) -> None:
    client = Client(*await served.bare())
    for part in client.hello():
        client.writer.write(bytes([part]))
        await client.writer.drain()
        await asyncio.sleep(0)
    for part in await client.finish() + client.sealed(REQUEST % 7):
        client.writer.write(bytes([part]))
        await asyncio.sleep(0)
    assert ANSWER in await client.answer(b"https /7;")
    client.writer.close()


async def test_who_comes_when_much_is_to_be_done_waits_for_its_turn(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Callable[[], bool]] = []
    monkeypatch.setattr(type(served.server.edge.slices), "spent", lambda _: True)
    monkeypatch.setattr(type(served.server.edge.handshakes), "queue", lambda _, call: queued.append(call))
    client = Client(*await served.bare())
    hello = client.hello()
    client.writer.write(hello[:100])
    await eventually(lambda: queued, "it queues")
    (entrance,) = served.connections
    assert not entrance._raw.is_reading()
    entrance.data_received(hello[100:])  # as where the loop reads on end
    assert queued[0]() is True
    monkeypatch.undo()
    client.writer.write(await client.finish() + client.sealed(REQUEST % 1))
    await client.answer(b"https /1;")
    client.writer.close()


async def test_who_goes_while_it_waits_for_its_turn(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[Callable[[], bool]] = []
    monkeypatch.setattr(type(served.server.edge.slices), "spent", lambda _: True)
    monkeypatch.setattr(type(served.server.edge.handshakes), "queue", lambda _, call: queued.append(call))
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    await eventually(lambda: queued, "it queues")
    served.server.edge.files.make_room()
    await eventually(lambda: not served.connections, "it was dropped to make room")
    assert queued[0]() is False
    assert not served.server.uvicorn.server_state.tasks
    client.writer.close()


async def test_no_tls(served: Served) -> None:
    served.limits(head_timeout=60)
    reader, writer = await served.bare()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"TLS is spoken here" in await reader.read()
    (entrance,) = served.connections  # it is told at once that this is all, and what it still sends is read
    assert entrance._clock.due <= asyncio.get_running_loop().time() + LINGER_SECONDS, "for a while"
    assert served.refused("bad_request") == 1
    writer.close()
    await eventually(lambda: not served.connections, "it is over")


async def test_a_handshake_that_is_none_is_counted_with_its_reason(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await served.bare()
    writer.write(b"\x16\x03\x01\x00\x05hello")
    await reader.read()
    writer.close()
    await eventually(lambda: served.refused("bad_request") == 1, "it counts")
    assert not served.connections
    assert "a TLS handshake: " in caplog.text


async def test_who_goes_in_a_handshake_is_no_news(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    await client.read()
    client.writer.transport.abort()
    await eventually(lambda: not served.connections and not served.server.uvicorn.server_state.tasks, "it is over")
    assert "refused" not in caplog.text


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01"])
async def test_a_handshake_has_its_time(served: Served, begun: bytes) -> None:
    served.limits(head_timeout=0.2)
    reader, writer = await served.bare()
    writer.write(begun)
    entrance = await eventually(lambda: next(iter(served.connections), None), "it is there")
    if begun:
        await eventually(lambda: served.server.uvicorn.server_state.tasks, "the handshake has begun")
        await asyncio.sleep(0)
        entrance._due = math.inf  # timers are exact to the millisecond only: it may be that it is not due yet
    await reader.read()
    writer.close()
    await eventually(lambda: not served.connections, "it is over")
    await eventually(lambda: served.refused("request_timeout") == 1, "it counts")


async def test_the_first_head_has_what_the_handshake_leaves(served: Served) -> None:
    served.limits(head_timeout=1)
    client = Client(*await served.bare())
    (entrance,) = served.connections or {await eventually(lambda: next(iter(served.connections), None), "it is there")}
    due = entrance._due
    client.writer.write(client.hello())
    client.writer.write(await client.finish())
    await eventually(lambda: entrance not in served.connections and served.connections, "it is within")
    (within,) = served.connections
    assert within._clock.due == due
    client.writer.close()


async def test_where_no_file_is_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT_SECONDS", 600.0)
    served.server.edge.files = Files(8, 16)
    served.server.edge.files._others = 16
    first, second = await served.bare(), await served.bare()
    assert await first[0].read() == b""
    assert served.refused("no_files") >= 1
    for _, writer in (first, second):
        writer.close()


async def test_where_no_file_is_left_after_the_handshake(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked together with its end is not answered, and not begun either."""
    begun: list[object] = []
    monkeypatch.setattr(HttpProtocol, "_begin", lambda _, head: begun.append(head))
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    end = await client.finish()
    served.server.edge.files = Files(8, 16, others=16)
    client.writer.write(end + client.sealed(REQUEST % 1))
    await eventually(lambda: served.refused("no_files"), "it is dropped")
    await eventually(lambda: not served.connections, "it is gone")
    assert begun == []
    client.writer.close()


async def test_who_resets_the_connection_behind_its_first_request(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is gone by the time the handshake is done, so it asks for nothing."""
    begun: list[object] = []
    monkeypatch.setattr(HttpProtocol, "_begin", lambda _, head: begun.append(head))
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    end = await client.finish()
    with socket.socket(fileno=os.dup(client.writer.get_extra_info("socket").fileno())) as bare:  # the loop stands still
        bare.sendall(end + client.sealed(REQUEST % 1))
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await asyncio.sleep(0)
    await eventually(lambda: not served.connections and not served.server.uvicorn.server_state.tasks, "it is gone")
    assert begun == []


async def test_who_is_lost_in_the_moment_in_which_the_handshake_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody within would hear of it, and stay for ever."""
    enter: Callable[..., None] = TlsEntrance._enter
    made: list[TlsEntrance] = []

    def lost(entrance: TlsEntrance, secured: asyncio.Transport) -> None:
        entrance._raw.get_protocol().connection_lost(None)  # which tells it in the next round
        made.append(entrance)
        assert not entrance._lost
        enter(entrance, secured)
        entrance._raw.abort()

    monkeypatch.setattr(TlsEntrance, "_enter", lost)
    client = Client(*await served.bare())
    client.writer.write(client.hello())
    client.writer.write(await client.finish())
    await eventually(lambda: made and made[0]._lost, "it is told")
    assert not served.connections
    client.writer.close()


async def test_who_comes_when_few_files_are_left_has_a_second(served: Served) -> None:
    served.limits(head_timeout=60)
    served.server.edge.files = Files(8, 32, others=26)
    _, writer = await served.bare()
    entrance = await eventually(lambda: next(iter(served.connections), None), "it is there")
    assert entrance._due <= asyncio.get_running_loop().time() + SHORT_SECONDS
    writer.close()


async def test_the_server_stops_in_a_handshake(served: Served) -> None:
    reader, writer = await served.bare()
    await eventually(lambda: served.connections, "it is there")
    for connection in list(served.connections):
        connection.shutdown()
    assert await reader.read() == b""
    writer.close()


async def test_who_sends_a_hello_and_goes_at_once(served: Served) -> None:
    """Its end is read by the protocol of TLS: begun behind it, that stayed for as long as a handshake may take."""
    made: list[weakref.ref[object]] = []
    wrap = served.context.wrap_bio

    def wrapped(*args: Any, **how: Any) -> ssl.SSLObject:
        tls = wrap(*args, **how)
        made.append(weakref.ref(tls))
        return tls

    served.context.wrap_bio = wrapped  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    client = Client(*await served.bare())
    hello = client.hello()
    client.writer.close()
    for _ in range(5):
        with socket.socket() as gone:
            gone.setblocking(False)
            await loop.sock_connect(gone, ("127.0.0.1", served.server.port))
            await loop.sock_sendall(gone, hello)
    await eventually(lambda: len(made) == 5, "each begins")
    await eventually(lambda: not [each for each in made if each() is not None], "nothing is left")


@pytest.mark.parametrize("shaken", [True, False])
async def test_nothing_is_left(served: Served, shaken: bool) -> None:
    left: list[str] = []

    async def life() -> None:
        if shaken:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port, ssl=blind())
            writer.write(REQUEST % 1)
            await reader.readuntil(b";")
        else:
            reader, writer = await served.bare()
            writer.write(b"\x16\x03\x01\x00\x05hello")
            await reader.read()
        writer.close()
        await eventually(lambda: not served.connections and not served.server.uvicorn.server_state.tasks, "it is over")
        for _ in range(10):
            await asyncio.sleep(0)

    await life()
    with nothing_left(left):
        for _ in range(5):
            await life()
    assert not left


def test_what_waits_below_counts() -> None:
    class Waiting(asyncio.Transport):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.size = size
            self.written = b""

        def get_write_buffer_size(self) -> int:
            return self.size

        def write(self, data: Any) -> None:
            self.written += data

    secured = Waiting(3)
    transport = TlsTransport(secured, Waiting(4))
    assert transport.get_write_buffer_size() == 7
    transport.writelines([b"a", b"b"])
    transport.write(b"c")
    assert secured.written == b"abc"
    assert not transport.can_write_eof()

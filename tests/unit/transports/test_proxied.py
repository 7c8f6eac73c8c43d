"""Connections that proxies pass on: whose word is taken, on plain connections, on TLS and on unix sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from helpers.certificates import Pair, blind
from helpers.cycles import nothing_left
from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.proxyheader import local_2, version_1, version_2
from helpers.waiting import eventually
from wsgw.access.proxies import Proxies
from wsgw.config.limits import LimitsSettings
from wsgw.config.listening import TlsSettings
from wsgw.process.certificates import Certificates
from wsgw.protocols.proxyheader import MAX_BYTES_1, SIGNATURE_2
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.connection import HttpConnection
from wsgw.transports.http11 import http_class
from wsgw.transports.proxied import ProxyEntrance, entrance
from wsgw.transports.tls import TlsEntrance

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LOCAL = "127.0.0.1"
HEADERS = [version_1("8.8.8.8", 1234), version_2("8.8.8.8", 1234), version_2("8.8.8.8", 1234, more=bytes(2000))]
NO_SOURCE = [b"PROXY UNKNOWN\r\n", local_2(), local_2(b"\x11", bytes(12)), SIGNATURE_2 + b"\x21\x31\x00\x01x"]


async def application(scope: Event, receive: Receive, send: Send) -> None:
    """Tells the client's address."""
    if scope["type"] == "websocket":
        await receive()
        told = [(b"client", repr(scope["client"]).encode())]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": told})
        await send({"type": "websocket.http.response.body", "body": b""})
        return
    body = f"<{scope['client'] and scope['client'][0]}>".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(trusted: list[str] | None, **limits: Any) -> AsyncIterator[LinkServer]:
    server = LinkServer(application, direct=True)
    server.edge.proxies = Proxies(trusted)
    server.edge.limits = LimitsSettings(**limits)
    await server.start()
    try:
        async with asyncio.timeout(60):
            yield server
    finally:
        await server.stop()


async def answer(port: int, *pieces: bytes) -> bytes:
    """What comes until the server ends the connection, on which ``pieces`` came one by one."""
    reader, writer = await asyncio.open_connection(LOCAL, port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("header", HEADERS)
async def test_the_client_of_a_proxy(header: bytes) -> None:
    async with serving([LOCAL]) as server:
        assert (await answer(server.port, header + REQUEST + LAST)).count(b"<8.8.8.8>") == 2
        assert b"<8.8.8.8>" in await answer(server.port, header, LAST)
        assert b"<8.8.8.8>" in await answer(server.port, *[bytes([each]) for each in header[:40]], header[40:] + LAST)


@pytest.mark.parametrize("header", NO_SOURCE)
async def test_a_proxy_that_does_not_say(header: bytes) -> None:
    async with serving([LOCAL]) as server:
        assert b"<127.0.0.1>" in await answer(server.port, header + LAST)


async def test_a_proxy_need_not_say_anything() -> None:
    async with serving([LOCAL]) as server:
        for pieces in ([LAST], [b"\r\n", LAST], [b"P", b"OST" + LAST[3:]], [LAST[:1], LAST[1:]]):
            assert b"<127.0.0.1>" in await answer(server.port, *pieces)
        assert value(server.metrics, "wsgw_rejected_total", reason="bad_request") == 0


@pytest.mark.parametrize("trusted", [None, [], ["10.0.0.0/8", "unix"]])
@pytest.mark.parametrize("header", [*HEADERS, *NO_SOURCE])
async def test_who_is_none_is_refused(
    trusted: list[str] | None, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(trusted) as server:
        got = await answer(server.port, header + REQUEST + LAST)
        assert got.startswith(b"HTTP/1.1 400 ")
        assert got.count(b"HTTP/1.1 ") == 1
        assert b"a PROXY header came from 127.0.0.1, which is not in 'trusted_proxies'" in got
        assert (await answer(server.port, header)).startswith(b"HTTP/1.1 400 "), "nobody waits for more"
        assert value(server.metrics, "wsgw_rejected_total", reason="bad_request") == 2
        assert "a PROXY header came" in caplog.text
        assert b"<127.0.0.1>" in await answer(server.port, LAST)


async def test_a_second_header_is_none() -> None:
    async with serving([LOCAL]) as server:
        for header in (HEADERS[0], HEADERS[1]):
            got = await answer(server.port, HEADERS[0] + header + LAST)
            assert got.startswith(b"HTTP/1.1 400 ")
            got = await answer(server.port, REQUEST + header + LAST)
            assert b"<127.0.0.1>" in got
            assert got.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"PROXY TCP4 8.8.8.8\r\n", b"it is not PROXY TCP4 or TCP6, two addresses and two ports"),
        (b"PROXY UNKNOWN".ljust(MAX_BYTES_1, b"x"), b"it does not end within 107 bytes"),
        (SIGNATURE_2 + b"\x21\x11\xff\xff", b"it has more than 4096 bytes"),
    ],
)
async def test_a_header_that_is_none(header: bytes, why: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with serving([LOCAL]) as server:
        got = await answer(server.port, header)
        assert got.startswith(b"HTTP/1.1 400 ")
        assert b"the PROXY header: " + why in got
        assert value(server.metrics, "wsgw_rejected_total", reason="bad_request") == 1
        assert why.decode() in caplog.text
        await eventually(lambda: not server.uvicorn.server_state.connections, "it is gone")


@pytest.mark.parametrize(
    "begun", [b"", b"P", b"PROXY TCP4 8", SIGNATURE_2, SIGNATURE_2 + b"\x21\x11\x08\x00" + bytes(99)]
)
async def test_a_header_that_does_not_come_in_time(begun: bytes) -> None:
    async with serving([LOCAL], head_timeout=0.2) as server:
        assert await answer(server.port, begun) == b""
        assert value(server.metrics, "wsgw_rejected_total", reason="request_timeout") == 1


async def test_who_goes_before_it_is_whole() -> None:
    async with serving([LOCAL]) as server:
        for end in ("close", "write_eof"):
            _, writer = await asyncio.open_connection(LOCAL, server.port)
            writer.write(b"PROXY TCP4")
            await eventually(lambda: server.uvicorn.server_state.connections, "it came")
            getattr(writer, end)()
            await eventually(lambda: not server.uvicorn.server_state.connections, "it is gone")
            writer.close()


async def test_the_address_of_a_websocket() -> None:
    async with serving([LOCAL]) as server:
        upgrade = (
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"client: ('8.8.8.8', 1234)" in await answer(server.port, HEADERS[1] + upgrade)
        assert b"client: ('127.0.0.1'" in await answer(server.port, upgrade)


async def test_other_proxies_while_it_runs() -> None:
    async with serving(None) as server:
        assert b"400" in await answer(server.port, HEADERS[0] + LAST)
        server.edge.proxies.replace([LOCAL])
        assert b"<8.8.8.8>" in await answer(server.port, HEADERS[0] + LAST)
        server.edge.proxies.replace(["10.0.0.1"])
        assert b"400" in await answer(server.port, HEADERS[0] + LAST)


# -- TLS


class Secure:
    """A server with TLS, as ``process.gatewayserver`` makes its connections."""

    def __init__(self, pair: Pair) -> None:
        context = Certificates(TlsSettings(**pair.settings)).context
        self.server = LinkServer(application, direct=True)
        plain = http_class(lambda: self.server.edge)

        def make(**given: Any) -> asyncio.Protocol:
            def within() -> HttpConnection:
                return cast(HttpConnection, plain(**given))

            tls = TlsEntrance(lambda: self.server.edge, context, within, given["server_state"])
            return entrance(tls, self.server.edge)

        self.server.uvicorn.config.http = make  # type: ignore[assignment]

    async def answer(self, header: bytes, *, apart: bool) -> bytes:
        """What comes of a request by TLS behind ``header``."""
        reader, writer = await asyncio.open_connection(LOCAL, self.server.port)
        writer.write(header)
        if apart:
            await writer.drain()
            await asyncio.sleep(0.01)
        try:
            await writer.start_tls(blind(), server_hostname="localhost")
            writer.write(LAST)
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    made = Secure(Pair(tmp_path))
    await made.server.start()
    async with asyncio.timeout(60):
        yield made
    await made.server.stop()


@pytest.mark.parametrize("apart", [True, False])
async def test_a_header_comes_before_tls(secure: Secure, apart: bool) -> None:
    secure.server.edge.proxies.replace([LOCAL])
    for header in HEADERS:
        assert b"<8.8.8.8>" in await secure.answer(header, apart=apart)
    assert b"<127.0.0.1>" in await secure.answer(NO_SOURCE[1], apart=apart)
    assert b"<127.0.0.1>" in await secure.answer(b"", apart=apart)


async def test_within_tls_there_is_none(secure: Secure) -> None:
    secure.server.edge.proxies.replace([LOCAL])
    reader, writer = await asyncio.open_connection(LOCAL, secure.server.port, ssl=blind())
    writer.write(HEADERS[0] + LAST)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_by_tls_others_are_refused_as_well(secure: Secure) -> None:
    for trusted in ([], ["10.0.0.1"]):
        secure.server.edge.proxies.replace(trusted)
        got = await answer(secure.server.port, HEADERS[1])
        assert got.startswith(b"HTTP/1.1 400 ")
    secure.server.edge.proxies.replace([LOCAL])
    got = await answer(secure.server.port, b"PROXY nonsense\r\n")
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"the PROXY header: it is not" in got
    await eventually(lambda: not secure.server.uvicorn.server_state.connections, "they are gone")


# -- unix sockets


@pytest.mark.parametrize(("trusted", "client"), [(["unix"], b"<8.8.8.8>"), ([LOCAL], b"HTTP/1.1 400 ")])
async def test_peers_of_a_unix_socket(tmp_path: Path, trusted: list[str], client: bytes) -> None:
    async with serving(trusted) as server:
        make = server.uvicorn.config.http_protocol_class
        path = str(tmp_path / "s")
        loop = asyncio.get_running_loop()
        state = server.uvicorn.server_state
        given = {"config": server.uvicorn.config, "server_state": state, "app_state": {}}
        listening = await loop.create_unix_server(lambda: cast(Any, make)(**given), path)
        for header, expected in ((HEADERS[0], client), (b"", b"<None>")):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(header + LAST)
            assert expected in await reader.read()
            writer.close()
        listening.close()


# -- what it costs, and leaves


async def test_where_nobody_is_trusted_nothing_stands_in_between() -> None:
    async with serving([]) as server:
        within = cast(HttpConnection, object())
        assert entrance(within, server.edge) is cast(object, within)
        server.edge.proxies.replace([LOCAL])
        assert isinstance(entrance(within, server.edge), ProxyEntrance)


async def test_nothing_is_left() -> None:
    left: list[str] = []
    async with serving([LOCAL]) as server:
        await answer(server.port, HEADERS[0] + LAST)
        with nothing_left(left):
            for data in (HEADERS[0] + LAST, b"PROXY nonsense\r\n", LAST):
                await answer(server.port, data)
            await eventually(lambda: not server.uvicorn.server_state.connections, "they are gone")
            await eventually(lambda: not server.uvicorn.server_state.tasks, "and what answered")
            await asyncio.sleep(0)
    assert left == []

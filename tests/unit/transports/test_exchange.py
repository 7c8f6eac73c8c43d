"""One request and its answer, without a socket: what applications may say, and what becomes of what they do wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from wsgw.access.pages import SAFE
from wsgw.errors import NO_FILES
from wsgw.fanout.link import OneWayReceiver
from wsgw.protocols.http1.head import Head
from wsgw.transports.asgi import Receive, Send
from wsgw.transports.exchange import Exchange, refusal
from wsgw.transports.stream import StreamProtocol

#: With each answer, where nobody says otherwise.
SAFE_LINES = b"".join(b"%b: %b\r\n" % header for header in SAFE)


class Connection:
    """Writes down what it is told."""

    default_headers = [(b"date", b"now")]  # noqa: RUF012  one for all is what it is

    def __init__(self) -> None:
        self.data = b""
        self.writes = 0
        self.events: list[Any] = []

    def write(self, data: bytes) -> None:
        self.data += data
        self.writes += 1

    async def written(self) -> None:
        await asyncio.sleep(0)

    def took_body(self) -> None:
        self.events.append("body")

    def answered(self, *, keep_alive: bool) -> None:
        self.events.append(("answered", keep_alive))

    def abort(self) -> None:
        self.events.append("abort")

    def stream(self, receiver: OneWayReceiver, *, chunked: bool) -> StreamProtocol:
        self.events.append(("stream", receiver, chunked))
        return cast("StreamProtocol", self)

    def begin(self, head: bytes) -> None:
        self.data += head


def made(line: str = "GET / HTTP/1.1", *headers: str) -> tuple[Exchange, Connection]:
    connection = Connection()
    return Exchange(connection, Head("\r\n".join([line, "Host: x", *headers, "", ""]).encode())), connection


async def run(exchange: Exchange, app: Callable[[Receive, Send], Awaitable[None]]) -> None:
    async def application(scope: Any, receive: Receive, send: Send) -> None:
        await app(receive, send)

    async with asyncio.timeout(10):
        await exchange.run(application, {})


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_head_and_body_go_out_in_one_write() -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send(start((b"content-length", b"3"), (b"x-y", b"\xff")))
        assert connection.writes == 0
        await send(body(b"abc"))

    await run(exchange, app)
    assert connection.writes == 1
    assert (
        connection.data
        == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 3\r\nx-y: \xff\r\n" + SAFE_LINES + b"\r\nabc"
    )
    assert connection.events == ["body", ("answered", True)]


async def test_an_event_may_leave_out_what_is_the_default() -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    await run(exchange, app)
    assert connection.data == b"HTTP/1.1 204 No Content\r\ndate: now\r\n" + SAFE_LINES + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "sent", "keep_alive"), [((), (), True), (("Connection: close",), (), False), ((), (b"Close",), False)]
)
async def test_whether_the_connection_stays(
    headers: tuple[str, ...], sent: tuple[bytes, ...], keep_alive: bool
) -> None:
    exchange, connection = made("GET / HTTP/1.1", *headers)

    async def app(receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"0"), *[(b"Connection", value) for value in sent]))
        await send(body())

    await run(exchange, app)
    assert connection.events == [("answered", keep_alive)]
    assert connection.data.lower().count(b"connection: close") == (not keep_alive)


async def test_an_answer_before_the_body_has_come_ends_the_connection() -> None:
    exchange, connection = made("POST / HTTP/1.1", "Content-Length: 3")

    async def app(receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"0"), status=413))
        await send(body())

    await run(exchange, app)
    assert connection.events == [("answered", False)]
    assert b"connection: close" in connection.data


async def test_an_answer_to_http_1_0_without_a_length_ends_with_the_connection() -> None:
    exchange, connection = made("GET / HTTP/1.0")

    async def app(receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more=True))
        await send(body(b"b"))

    await run(exchange, app)
    assert connection.data == b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n" + SAFE_LINES + b"\r\nab"
    assert connection.events == [("answered", False)]


async def test_nobody_is_asked_for_a_body_that_is_there() -> None:
    exchange, connection = made("POST / HTTP/1.1", "Content-Length: 1", "Expect: 100-continue")
    exchange.body += b"x"
    exchange.body_complete = True

    async def app(receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"x"
        await send(start((b"content-length", b"0")))
        await send(body())

    await run(exchange, app)
    assert connection.data.startswith(b"HTTP/1.1 200 ")


async def test_a_body_is_asked_for_and_its_end_told_once() -> None:
    exchange, connection = made("POST / HTTP/1.1", "Content-Length: 3", "Expect: 100-continue")
    got: list[Any] = []

    async def app(receive: Receive, send: Send) -> None:
        assert exchange.expects
        for _ in range(3):
            got.append(await receive())
            assert not exchange.expects

    task = asyncio.ensure_future(run(exchange, app))
    await asyncio.sleep(0)
    assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
    exchange.body += b"ab"
    exchange.wake()
    while len(got) < 1:  # noqa: ASYNC110  a plain list
        await asyncio.sleep(0)
    exchange.body += b"c"
    exchange.body_complete = True
    exchange.wake()
    while len(got) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    exchange.lose()
    await task
    assert got == [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c", "more_body": False},
        {"type": "http.disconnect"},
    ]
    assert connection.events == ["body", "body", "body", "body", "body"]


@pytest.mark.parametrize(
    "events",
    [
        [body(b"x")],
        [start(), start()],
        [start((b"na me", b"x"))],
        [start((b"name", b"x\r\ny: z"))],
        [start((b"transfer-encoding", b"chunked"))],
        [start((b"content-length", b"1")), body(b"ab")],
        [start((b"content-length", b"3")), body(b"ab")],
    ],
    ids=repr,
)
async def test_what_an_application_may_not_say_is_a_500(
    events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)

    await run(exchange, app)
    assert connection.data.startswith(b"HTTP/1.1 500 ")
    assert connection.events == [("answered", False)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_nothing_behind_a_complete_answer(caplog: pytest.LogCaptureFixture) -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"0")))
        await send(body())
        assert await receive() == {"type": "http.disconnect"}
        await send(body())

    await run(exchange, app)
    assert connection.events == [("answered", True)]
    assert "behind an answer that is complete" in caplog.text


async def test_an_answer_that_cannot_be_completed_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x", more=True))

    await run(exchange, app)
    assert connection.events == ["abort"]
    assert "without completing" in caplog.text


async def test_no_answer_is_a_500_but_not_for_a_client_that_went(caplog: pytest.LogCaptureFixture) -> None:
    async def app(receive: Receive, send: Send) -> None:
        await send(start())

    exchange, connection = made()
    exchange.lose()
    await run(exchange, app)
    assert (connection.data, connection.events, caplog.text) == (b"", [], "")
    exchange, connection = made()
    await run(exchange, app)
    assert connection.data.startswith(b"HTTP/1.1 500 ")


async def test_a_request_that_is_cancelled_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    exchange, connection = made()

    async def app(receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(run(exchange, app))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert connection.events == ["abort"]
    assert caplog.text == ""


@pytest.mark.parametrize(("version", "coding"), [("1.1", b"transfer-encoding: chunked\r\n"), ("1.0", b"")])
def test_an_answer_without_end_takes_the_connection(version: str, coding: bytes) -> None:
    exchange, connection = made(f"GET / HTTP/{version}", "Content-Length: 3")
    exchange.body += b"a"
    headers = [(b"a", b"b")]
    receiver: Any = object()
    assert cast("object", exchange.stream(receiver, headers)) is connection
    assert connection.events == [("stream", receiver, version == "1.1")]
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\na: b\r\nconnection: close\r\n"
    assert connection.data == head + coding + SAFE_LINES + b"\r\n"
    assert headers == [(b"a", b"b")], "they are shared"
    assert exchange.gone
    assert not exchange.body
    with pytest.raises(OSError, match="gone"):
        exchange.stream(receiver, headers)


def test_a_refusal_is_a_whole_answer() -> None:
    assert refusal(NO_FILES, "why", [(b"date", b"now")]) == (
        b"HTTP/1.1 503 Service Unavailable\r\ndate: now\r\ncontent-type: application/json\r\n"
        b"cache-control: no-store\r\ncontent-length: 45\r\n"
        b'connection: close\r\n\r\n{"error":{"code":"no_files","message":"why"}}'
    )

"""Our HTTP/1.1 connection on a real socket, under uvicorn's server: requests, answers, bodies, order, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from helpers.http_server import Client, HttpServer, get, post
from helpers.waiting import eventually
from wsgw.protocols.http1.chunked import Chunked
from wsgw.shares import slices
from wsgw.shares.slices import Slices, Work
from wsgw.transports import connection as http_connection
from wsgw.transports.clock import NEVER
from wsgw.transports.http11 import AHEAD_BYTES

# -- requests and answers


async def test_requests_one_after_the_other_on_one_connection(server: HttpServer) -> None:
    client = await server.connect()
    for request, text in (
        (get("/a?b=c"), b"GET /a?b=c 0"),
        (post("/p", "abc"), b"POST /p? 3"),
        (get("/p", "Transfer-Encoding: chunked", method="PUT") + "3\r\nabc\r\n0\r\nx: y\r\n\r\n", b"PUT /p? 3"),
        ("\r\n" + get("/after-a-blank-line"), b"GET /after-a-blank-line? 0"),
    ):
        client.send(request)
        status, headers, body = await client.answer()
        assert (status, body) == (200, text)
        assert "connection" not in headers
        assert headers["date"]
    assert server.app.bodies == [b"", b"abc", b"abc", b""]
    assert len(server.connections) == 1


async def test_byte_by_byte(serve: Callable[..., Awaitable[HttpServer]]) -> None:
    server = await serve(head_timeout=20, body_stall_timeout=20)
    client = await server.connect()
    text = post("/a", "xyz") + get("/b", "Transfer-Encoding: chunked", method="POST") + "2;x\r\nab\r\n0\r\n\r\n"
    for byte in text:
        client.send(byte)
        await client.writer.drain()
        await asyncio.sleep(0)
    assert [(await client.answer())[2] for _ in range(2)] == [b"POST /a? 3", b"POST /b? 2"]


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask("".join(get(f"/{n}") for n in range(50)) + post("/last", "x" * 100))
    await eventually(lambda: bool(server.app.asked), "the first is asked")
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.app.asked == ["/0"], "the next one is not begun before the answer"
    server.app.may_answer.set()
    assert [(await client.answer())[2] for _ in range(50)] == [f"GET /{n}? 0".encode() for n in range(50)]
    assert (await client.answer())[2] == b"POST /last? 100"


async def test_what_is_behind_a_request_under_way_is_bounded(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask(get("/x") * 100_000)
    await eventually(lambda: server.edge.memory.used_bytes > AHEAD_BYTES, "requests wait")
    for _ in range(50):
        await asyncio.sleep(0)
    assert server.edge.memory.used_bytes <= AHEAD_BYTES + 256 * 1024
    server.app.may_answer.set()
    for _ in range(3000):
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(("limit", "paused"), [(20, True), (21, False)])
async def test_how_many_requests_are_read_ahead(
    serve: Callable[..., Awaitable[HttpServer]], limit: int, paused: bool
) -> None:
    server = await serve(pipelined_requests=limit)
    server.app.may_answer.clear()
    client = await server.ask(get("/x") * 21)
    await eventually(lambda: server.edge.memory.used_bytes >= 20 * len(get("/x")), "twenty wait")
    client.writer.transport.abort()
    gone = eventually(lambda: not server.connections, "noticed", 0.5)
    if paused:
        with pytest.raises(AssertionError):
            await gone
    else:
        await gone
    server.app.may_answer.set()
    await eventually(lambda: not server.connections, "noticed")


async def test_answers_that_are_not_read_stop_the_requests_behind(server: HttpServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.port, limit=1024)
    server.clients.append(Client(reader, writer))
    writer.write(get("/large").encode() * 20)
    await eventually(lambda: bool(server.app.asked), "the first is asked")
    await eventually(lambda: server.refused("request_timeout") == 1, "given up")
    assert len(server.app.asked) < 5
    await eventually(lambda: not server.connections, "dropped")


async def test_a_part_of_a_chunk_that_stands_still_costs_nothing(server: HttpServer) -> None:
    client = await server.ask(get("/a", "Transfer-Encoding: chunked", method="POST") + "5")
    await eventually(lambda: bool(server.app.asked), "asked")
    looks = 0

    class Looking(Chunked):
        __slots__ = ()

        def take(self, data: bytes, at: int, body: bytearray) -> int:
            nonlocal looks
            looks += 1
            return super().take(data, at, body)

    (connection,) = server.connections
    connection._body._chunks.__class__ = Looking
    assert (await client.answer())[0] == 408, "its clock is not moved"
    assert looks == 0


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_slow_reader_that_goes_on_is_not_given_up(
    server: HttpServer, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "LINGER_SECONDS", 0.4)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.server.port, limit=64 * 1024)
    client = Client(reader, writer)
    server.clients.append(client)
    client.send(get("/large", f"Connection: {connection}"))
    size = 0
    await reader.readuntil(b"\r\n\r\n")
    while size < 8 * 1024 * 1024:
        size += len(await reader.read(512 * 1024))
        await asyncio.sleep(0.05)  # the pace of a slow one
    assert server.refused("request_timeout") == 0


async def test_head_has_no_body(server: HttpServer) -> None:
    client = await server.ask(get("/a", method="HEAD") + get("/parts", method="HEAD") + get("/b"))
    for length in ("10", None):
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert ("content-length: 10" in head) is (length is not None)
    assert (await client.answer())[2] == b"GET /b? 0"


async def test_an_answer_in_parts(server: HttpServer) -> None:
    client = await server.ask(get("/parts") + get("/b"))
    assert (await client.answer())[2] == b"onetwo"
    assert (await client.answer())[2] == b"GET /b? 0"


async def test_http_1_0_and_close(server: HttpServer) -> None:
    client = await server.ask("GET /a HTTP/1.0\r\n\r\n")
    status, headers, body = await client.answer()
    assert (status, headers["connection"], body) == (200, "close", b"GET /a? 0")
    assert await client.end() == b""
    client = await server.ask(get("/a", "Connection: close") + get("/b"))
    assert (await client.answer())[1]["connection"] == "close"
    assert await client.end() == b""
    assert server.app.asked == ["/a", "/a"]


async def test_faults(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    client = await server.ask(get("/fault"))
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (500, "close")
    assert await client.end() == b""
    client = await server.ask(get("/broken"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.answer()
    assert caplog.text.count("Exception in ASGI application") == 2


async def test_a_client_that_waits_to_be_asked_for_its_body(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask(get("/slowly", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    async with asyncio.timeout(10):
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    server.app.may_answer.set()
    client.send("abc")
    assert (await client.answer())[2] == b"POST /slowly? 3"


async def test_a_poll_hears_that_its_client_went(server: HttpServer) -> None:
    client = await server.ask(get("/poll"))
    await eventually(lambda: bool(server.app.asked), "asked")
    client.writer.transport.abort()
    await eventually(lambda: server.app.gone == ["/poll"], "told")
    await eventually(lambda: not server.connections, "gone")


async def test_pipelined_posts_and_a_reset(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    client = await server.ask(post("/a", "x") * 20 + get("/poll") + post("/a", "x" * 10)[:-5])
    await eventually(lambda: "/poll" in server.app.asked, "asked")
    client.writer.transport.abort()
    await eventually(lambda: not server.connections, "gone")
    await eventually(lambda: not server.server.uvicorn.server_state.tasks, "ended")
    assert caplog.text == ""


# -- bodies


async def test_a_body_that_the_application_does_not_take_is_not_read(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask(get("/slowly", "Content-Length: 50000000", method="POST"))
    client.send(bytes(20_000_000))
    await eventually(lambda: server.edge.memory.used_bytes > 64 * 1024, "some of it is read")
    await eventually(lambda: server.due() == [NEVER], "it is not the client's turn")
    assert not next(iter(server.connections))._transport.is_reading()
    assert server.edge.memory.used_bytes < 64 * 1024 + 256 * 1024
    server.app.may_answer.set()
    client.send(bytes(30_000_000))
    assert (await client.answer())[2] == b"POST /slowly? 50000000"


async def test_what_is_left_of_an_unread_body_is_read_for_a_while(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await server.ask(get("/unread", "Content-Length: 3000000", method="POST"))
    status, headers, body = await client.answer()
    assert (status, headers["connection"], body) == (404, "close", b"no")
    client.send(bytes(3_000_000))
    await client.writer.drain()
    assert await client.end() == b"", "closed, not reset"
    monkeypatch.setattr(http_connection, "LINGER_BYTES", 1_000_000)
    client = await server.ask(get("/unread", "Transfer-Encoding: chunked", method="POST"))
    assert (await client.answer())[0] == 404
    with pytest.raises(ConnectionError):
        await client.trickle(("400\r\n" + 1024 * "x" + "\r\n") * 3000, 0)


async def test_a_body_of_tiny_chunks_is_worked_off_in_slices(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[Work] = []
    queue = server.edge.slices.queue

    def counted(_: Slices, work: Work) -> None:
        turns.append(work)
        queue(work)

    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(Slices, "queue", counted)
    client = await server.ask(get("/a", "Transfer-Encoding: chunked", method="POST"))
    client.send(b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n")
    assert (await client.answer())[2] == b"POST /a? 30000"
    assert len(turns) >= 20


# -- refusals


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ("GET /" + "a" * 4000, 414, "uri_too_long"),
        ("GET /" + "a" * 1500 + " HTTP/1.1\r\nA: " + "b" * 600 + "\r\n\r\n", 431, "headers_too_large"),
        (get("/", "A: " + "b" * 3000), 431, "headers_too_large"),
        (get("/", "A: " + "b" * 3000)[:-4], 431, "headers_too_large"),
        (get("/", *["A: b"] * 12), 431, "headers_too_large"),
        (
            get("/", "Transfer-Encoding: chunked", method="POST") + "0\r\n" + "A: b\r\n" * 13 + "\r\n",
            431,
            "headers_too_large",
        ),
        (get("/", "Transfer-Encoding: chunked", method="POST") + "x\r\n", 400, "bad_request"),
        (get("/%ff"), 400, "bad_request"),
        ("\x16\x03\x01\r\n\r\n", 400, "bad_request"),
        ("\x16\x03\x01", 400, "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("\r\n\r\n\r\n\r\n", 400, "bad_request"),
        (get("/", "Content-Length: 1", "Transfer-Encoding: chunked"), 400, "bad_request"),
        (get("/", "Upgrade: websocket", "Connection: Upgrade", method="POST"), 400, "bad_request"),
        (get("/", "Upgrade: websocket", "Connection: Upgrade", "Content-Length: 1") + "x", 400, "bad_request"),
        (
            get("/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Protocol: a" + 70 * ",a"),
            400,
            "bad_request",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_refused(server: HttpServer, request_: str, status: int, reason: str) -> None:
    client = await server.ask(request_)
    got, headers, body = await client.answer()
    assert got == status
    assert headers["connection"] == "close"
    assert f'"code":"{reason}"'.encode() in body
    assert await client.end() == b""
    assert server.refused(reason) == 1
    assert (await (await server.ask(get("/good"))).answer())[0] == 200


async def test_as_many_headers_as_there_may_be(server: HttpServer) -> None:
    assert (await (await server.ask(get("/", *["A: b"] * 11))).answer())[0] == 200


async def test_a_large_head_is_refused_before_all_of_it_has_come(server: HttpServer) -> None:
    client = await server.connect()
    for part in ("GET /", "A", "B"):
        client.send(part + "A" * 800)
        await client.writer.drain()
        await asyncio.sleep(0.01)
    assert (await client.answer())[0] == 414

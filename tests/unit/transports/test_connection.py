"""The connection below HTTP requests: clocks, room for it, and its end; on a real socket."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from helpers.http_server import HttpServer, get, post
from helpers.metrics import value
from helpers.waiting import eventually
from wsgw.access.pages import Pages
from wsgw.access.proxies import Proxies
from wsgw.shares.slices import Slices, Work
from wsgw.transports.clock import NEVER
from wsgw.transports.http11 import AHEAD_BYTES

# -- clocks


@pytest.mark.parametrize("sent", ["", "GET / HTT", get("/")[:-2]], ids=["nothing", "a part", "nearly all"])
async def test_a_first_head_that_does_not_come(server: HttpServer, sent: str) -> None:
    client = await server.ask(sent)
    if sent:
        assert (await client.answer())[0] == 408
    assert await client.end() == b""
    assert server.refused("request_timeout") == 1


async def test_a_trickle_does_not_move_the_clock_of_a_head(server: HttpServer) -> None:
    client = await server.connect()
    with pytest.raises(ConnectionError):
        await client.trickle(get("/" + "a" * 1000), 0.02)
    assert server.refused("request_timeout") == 1


async def test_a_later_head_that_does_not_come(server: HttpServer) -> None:
    client = await server.ask(get("/a"))
    assert (await client.answer())[0] == 200
    client.send("GET /b")
    assert (await client.answer())[0] == 408
    assert await client.end() == b""


async def test_between_two_requests(serve: Callable[..., Awaitable[HttpServer]]) -> None:
    server = await serve(idle_timeout=0.3, head_timeout=20)
    client = await server.ask(get("/a"))
    assert (await client.answer())[0] == 200
    assert await client.end() == b""
    assert server.refused("request_timeout") == 0


async def test_a_body_that_stands_still(server: HttpServer) -> None:
    client = await server.ask(post("/a", "abc")[:-1])
    assert (await client.answer())[0] == 408
    assert await client.end() == b""
    await eventually(lambda: server.app.gone == ["/a"], "the application is told")


async def test_a_body_that_takes_too_long_in_all(server: HttpServer) -> None:
    client = await server.ask(get("/a", "Content-Length: 1000", method="POST"))
    with pytest.raises(ConnectionError):
        await client.trickle("x" * 1000, 0.05)
    assert server.refused("request_timeout") == 1


async def test_no_clock_runs_while_the_answer_is_owed(server: HttpServer) -> None:
    client = await server.ask(post("/a", "abc"))
    polling = await server.ask(get("/poll"))
    assert (await client.answer())[0] == 200
    server.app.may_answer.clear()
    client.send(post("/b", "abc"))
    await eventually(lambda: server.app.asked.count("/b") + server.app.asked.count("/poll") == 2, "both are asked")
    await eventually(lambda: server.due() == [NEVER, NEVER], "no clock of either")
    server.app.may_answer.set()
    assert (await client.answer())[0] == 200
    await eventually(lambda: sorted(server.due())[0] < NEVER, "the next request is the client's turn")
    assert not polling.reader.at_eof()


async def test_of_many_who_come_at_once_some_wait_for_their_turn(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Work] = []
    monkeypatch.setattr(Slices, "spent", lambda _: True)
    monkeypatch.setattr(Slices, "queue", lambda _, work: queued.append(work))
    client = await server.ask(get("/a"))
    await eventually(lambda: queued, "it waits")
    assert (server.app.asked, server.due()) == ([], [NEVER]), "and no clock runs, for it has asked"
    assert queued.pop()(math.inf) is False
    assert (await client.answer())[0] == 200
    half = await server.ask(get("/b")[:-2])
    await eventually(lambda: len(server.due()) == 2 and max(server.due()) < NEVER, "its clock runs")
    assert not queued
    half.send("\r\n")
    await eventually(lambda: queued, "it waits")
    queued.pop()(math.inf)
    assert (await half.answer())[0] == 200
    client.send(get("/c"))
    assert (await client.answer())[0] == 200, "who was there before waits for nobody"
    always = await server.ask(get("/always"))
    assert (await always.answer())[0] == 200, "nor does a health check"
    assert not queued


# -- files and memory


async def test_in_the_reserve_of_files(server: HttpServer) -> None:
    old = await server.ask(get("/old"))
    assert (await old.answer())[0] == 200
    files = server.edge.files
    free = files.limit - files.open
    files.limit -= free - (files.reserve - 1)
    server.edge.pages = Pages(["http://page"], credentials=True)
    told = {"access-control-allow-origin": "http://page", "access-control-allow-credentials": "true", "vary": "origin"}
    client = await server.ask(get("/a", "Origin: http://page"))
    status, headers, body = await client.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert headers.items() >= told.items()
    assert b'"code":"no_files"' in body
    client = await server.ask(get("/sse/a", "Accept: text/event-stream", "Origin: http://page"))
    status, headers, _ = await client.answer()
    assert status == 200
    assert headers.items() >= told.items()
    client = await server.ask(get("/sse/a", "Accept: text/event-stream", "Origin: http://evil"))
    status, headers, _ = await client.answer()
    assert status == 200
    assert not headers.keys() & told.keys()
    client = await server.ask(get("/sse/a", "Accept: text/event-stream"))
    status, headers, _ = await client.answer()
    body = await client.reader.read()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body.startswith(b"retry: ")
    assert b'event: wsgw:error\ndata: {"error":{"code":"no_files"' in body
    client = await server.ask(get("/always") + get("/always"))
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (200, "close")
    old.send(get("/old"))
    assert (await old.answer())[0] == 200, "who was there before is served"
    files.limit = files.open
    files.idle.clear()
    client = await server.ask(get("/always"))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.answer()
    assert server.refused("no_files") == 5
    assert value(server.metrics, "wsgw_open_files") == files.open


async def test_who_is_refused_for_want_of_files_is_told_so_by_a_proxy(server: HttpServer) -> None:
    files = server.edge.files
    files.limit = files.open + files.reserve - 1
    server.edge.pages = Pages("same")
    server.edge.proxies = Proxies(["127.0.0.1"])
    asked = get("/a", "Origin: https://page", "X-Forwarded-Host: page", "X-Forwarded-Proto: https")
    for trusted, told in ((["127.0.0.1"], "https://page"), (["10.0.0.1"], None)):
        server.edge.proxies.replace(trusted)
        client = await server.ask(asked)
        status, headers, _ = await client.answer()
        assert (status, headers.get("access-control-allow-origin")) == (503, told)


async def test_where_little_is_left_the_silent_go_first(
    serve: Callable[..., Awaitable[HttpServer]],
) -> None:
    server = await serve(head_timeout=30)
    silent, half = await server.connect(), await server.ask("GET /h")
    asked = await server.ask(get("/a"))
    assert (await asked.answer())[0] == 200
    await eventually(lambda: len(server.edge.files.idle) == 3, "nothing is under way")
    server.edge.files.limit = server.edge.files.open
    client = await server.ask(get("/always"))
    assert (await client.answer())[0] == 200, "the newest is heard"
    assert await silent.end() == b"", "the oldest of the silent is not there any more"
    assert not half.reader.at_eof()
    asked.send(get("/b"))
    assert (await asked.answer())[0] == 200


async def test_and_then_who_is_waited_for_and_nobody_else(serve: Callable[..., Awaitable[HttpServer]]) -> None:
    server = await serve(head_timeout=30, body_stall_timeout=30)
    idle = await server.ask(get("/a"))
    assert (await idle.answer())[0] == 200
    ending = await server.ask(get("/a", "Connection: close") + get("/b"))
    assert (await ending.answer())[0] == 200
    stuck = await server.ask(get("/large"))
    await eventually(lambda: "/large" in server.app.asked and len(server.edge.files.idle) == 3, "its answer waits")
    polling = await server.ask(get("/poll"))
    server.app.may_answer.clear()
    owed = await server.ask(get("/c"))
    await eventually(lambda: "/c" in server.app.asked, "one is under way")
    assert len(server.edge.files.idle) == 3
    server.edge.files.limit = server.edge.files.open
    for gone in (idle, ending, stuck):
        count = len(server.connections)
        newest = await server.connect()
        await eventually(lambda: len(server.edge.files.idle) == 3, "it takes the place of the oldest")
        assert len(server.connections) == count
        if gone is not stuck:
            assert await gone.end() == b""
    for each in (owed, polling):
        assert not each.reader.at_eof()
    server.app.may_answer.set()
    assert (await owed.answer())[0] == 200
    newest.send(get("/always"))
    assert (await newest.answer())[0] == 200


async def test_large_heads_and_answers_that_are_not_taken_count(serve: Callable[..., Awaitable[HttpServer]]) -> None:
    server = await serve(head_bytes=64 * 1024, body_stall_timeout=30)
    server.app.may_answer.clear()
    await server.ask(get("/a", "A: " + "b" * 50_000))
    await eventually(lambda: bool(server.app.bodies), "it was read whole, and waits for its answer")
    assert server.edge.memory.used_bytes > 50_000
    server.app.may_answer.set()
    await eventually(lambda: server.edge.memory.used_bytes == 0, "answered")
    _, writer = await asyncio.open_connection("127.0.0.1", server.server.port, limit=1024)
    writer.write(get("/large").encode())
    await eventually(lambda: server.edge.memory.used_bytes > 1024 * 1024, "the answer waits")
    writer.transport.abort()
    await eventually(lambda: server.edge.memory.used_bytes == 0, "gone")


async def test_what_was_ended_for_memory_is_no_request_with_an_empty_body(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask(post("/slowly", "abc")[:-2])
    await eventually(lambda: server.app.asked, "its first part is taken")
    (connection,) = server.connections
    await eventually(lambda: not connection._exchange.body, "its first part is taken")
    client.send("bc")
    await eventually(lambda: connection._exchange.body_complete, "the rest is there")
    exchange = connection._exchange
    connection.evict()
    assert (await exchange.receive())["type"] == "http.disconnect"
    server.app.may_answer.set()
    await eventually(lambda: server.app.gone == ["/slowly"], "the application is told")
    assert server.app.bodies == []


async def test_without_memory_bodies_are_refused(server: HttpServer) -> None:
    server.edge.memory.add(server.edge.memory.limit_bytes + 1)
    client = await server.ask(post("/a", "abc"))
    status, _, body = await client.answer()
    assert status == 503
    assert b'"code":"no_memory"' in body
    assert (await (await server.ask(get("/always"))).answer())[0] == 200
    server.edge.memory.add(-server.edge.memory.limit_bytes - 1)


async def test_a_connection_on_which_most_waits_is_ended(server: HttpServer) -> None:
    server.app.may_answer.clear()
    client = await server.ask(get("/x") * 3000)
    await eventually(lambda: server.edge.memory.used_bytes > AHEAD_BYTES, "requests wait")
    server.edge.memory.limit_bytes = 1000
    server.edge.memory.add(0)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.answer()
    assert server.edge.memory.used_bytes == 0


# -- the end


async def test_a_stop_closes_what_is_idle_and_answers_what_is_under_way(server: HttpServer) -> None:
    idle, half, never = await server.ask(get("/a")), await server.ask("GET"), await server.connect()
    await idle.answer()
    server.app.may_answer.clear()
    busy = await server.ask(get("/b"))
    await eventually(lambda: "/b" in server.app.asked, "asked")
    server.server.uvicorn.should_exit = True
    for client in (idle, half, never):
        assert await client.end() == b""
    server.app.may_answer.set()
    status, headers, _ = await busy.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await busy.end() == b""


@pytest.mark.parametrize("how", ["answered", "reset", "refused", "half", "timeout"])
async def test_what_ended_is_freed_without_the_collector(server: HttpServer, how: str) -> None:
    def alive() -> int:
        return sum(type(one).__name__ in ("HttpProtocol", "Exchange", "Head", "Chunked") for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            if how == "answered":
                client = await server.ask(post("/a", "abc", "Connection: close"))
                await client.answer()
            elif how == "reset":
                client = await server.ask(get("/poll"))
                await eventually(lambda: "/poll" in server.app.asked, "asked")
                client.writer.transport.abort()
            elif how == "refused":
                client = await server.ask(get("/", "Transfer-Encoding: chunked", method="POST") + "x\r\n")
                await client.end()
            elif how == "half":
                client = await server.ask("GET /")
                client.writer.transport.abort()
            else:
                client = await server.ask(post("/a", "abc")[:-1])
                await client.end()
            client.writer.close()
        await eventually(lambda: not server.connections, "gone")
        await eventually(lambda: alive() == 0, "freed")
    finally:
        gc.enable()


# -- who is gone already


async def test_who_has_reset_the_connection_before_it_was_taken_asks_for_nothing(server: HttpServer) -> None:
    """Its address is gone with it: what it sent would be nobody's, and count by no address."""
    with socket.create_connection(("127.0.0.1", server.server.port)) as client:  # the loop stands still
        client.sendall(post("/a", "abc").encode())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (await (await server.ask(get("/b"))).answer())[0] == 200
    await eventually(lambda: len(server.connections) == 1, "it is gone")
    assert server.app.asked == ["/b"]

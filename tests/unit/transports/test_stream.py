"""Answers without end on real sockets, by our protocol class and by another ASGI server's; and how they are freed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.event_stream import EventClient
from helpers.fanout import IN, batch
from helpers.hearer import Hearer, item
from helpers.link_server import LinkServer
from helpers.streams import HEADERS, Served, serving
from helpers.waiting import eventually
from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.metrics import Metrics
from wsgw.transports import asgi, stream
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http import respond
from wsgw.transports.openstream import open_stream


@pytest.fixture
async def direct() -> AsyncIterator[Served]:
    async for served in serving(direct=True):
        yield served


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Both ways."""
    async for served in serving(direct=request.param):
        yield served


async def received(client: EventClient, data: bytes) -> None:
    """The body has got as far as ``data``."""
    while len(client.raw) < len(data):
        await client._read()
        client._take()
    assert client.raw == data


# -- both ways


async def test_what_is_written_comes_in_order(served: Served) -> None:
    client, hearer = await served.open()
    assert client.head["content-type"] == "text/event-stream"
    assert client.head["transfer-encoding"] == "chunked"
    hearer.write(b"a")
    hearer.link.write_batch(batch(IN, item(b"b")))
    hearer.link.write_batch(batch(IN, item(b"c", b"d"), item(b"e" * 30_000)))
    hearer.write(b"f", b"g")
    await received(client, b":\n\nabcd" + b"e" * 30_000 + b"fg")
    assert hearer.events == []


async def test_the_end_comes_behind_what_was_written(served: Served) -> None:
    client, hearer = await served.open()
    hearer.write(b"last")
    hearer.link.close(1001, "a reason that nobody hears")
    hearer.link.close(4008)
    hearer.write(b"too late")
    hearer.link.write_batch(batch(IN, item(b"too late")))
    assert await client.end() == "chunks"
    assert client.raw == b":\n\nlast"
    client.close()
    assert await hearer.until_lost() == 1001
    assert hearer.events == [1001]


async def test_the_client_goes(served: Served) -> None:
    for go in (EventClient.close, EventClient.end_sending):
        client, hearer = await served.open()
        go(client)
        await hearer.until(1005)
        hearer.write(b"to nobody")
        hearer.link.close(1000)
        hearer.link.abort()
        await eventually(lambda: not served.connections, "the connection has ended")
        await hearer.until(1005)


async def test_a_reset(served: Served) -> None:
    client, hearer = await served.open()
    client.reset()
    assert await hearer.until_lost() in (1005, 1006)
    assert len(hearer.events) == 1


async def test_a_client_that_reads_slowly_pauses_the_writing(served: Served) -> None:
    client, hearer = await served.open(receive_buffer_bytes=4096)
    written = b":\n\n"
    while "paused" not in hearer.events:
        hearer.write(b"x" * 50_000)
        written += b"x" * 50_000
        await asyncio.sleep(0)
    assert hearer.link.buffered_bytes() > 0
    await received(client, written)
    await hearer.until("paused", "resumed")
    hearer.write(b"more")
    await received(client, written + b"more")


async def test_a_client_that_reads_nothing_cannot_hold_the_end_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (asgi, stream):
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.2)
    _, hearer = await served.open(receive_buffer_bytes=4096)
    while "paused" not in hearer.events:
        hearer.write(b"x" * 50_000)
        await asyncio.sleep(0)
    hearer.link.close(4008)
    await hearer.until("paused", 4008)


async def test_abort(served: Served) -> None:
    client, hearer = await served.open()
    hearer.link.abort()
    hearer.link.abort()
    hearer.link.close(4008)
    await hearer.until(1006)
    assert await client.end() == "eof"


async def test_a_fault_in_a_receiver_ends_the_stream(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, hearer = await served.open(receive_buffer_bytes=4096)
    hearer.failing = "paused"
    while not hearer.events:
        hearer.write(b"x" * 50_000)
        await asyncio.sleep(0)
    await client.end()
    assert await hearer.until_lost() == 1011
    assert "a fault in a receiver" in caplog.text


async def test_how_long_it_was_quiet(served: Served) -> None:
    _, hearer = await served.open()
    link = hearer.link
    link.quiet = 2
    link.write(item(b"x"))
    assert link.quiet == 0
    link.quiet = 2
    link.write_batch(batch(IN, item(b"x")))
    assert link.quiet == 0


async def test_the_client_goes_before_it_is_open(served: Served) -> None:
    served.application.may_open.clear()
    client = await served.client()
    await client.ask("/")
    await eventually(lambda: served.application.asked == 1, "asked")
    client.close()
    await eventually(lambda: not served.connections, "the loss is noticed")
    served.application.may_open.set()
    if served.direct:
        await eventually(lambda: served.application.failures, "the application hears of it")
    else:
        await eventually(lambda: served.application.hearers, "it is opened all the same")
        await served.application.hearers[0].until(1005)


async def test_behind_other_requests(served: Served) -> None:
    client = await served.client()
    for _ in range(3):
        await client.ask("/plain")
        assert await client.answer() == 200
        assert await client.body() == b"plain"
    await client.ask("/")
    await eventually(lambda: served.application.hearers, "it is opened")
    served.application.hearers[0].write(b"x")
    assert await client.answer() == 200
    await received(client, b"x")
    assert served.application.asked == 4


async def test_the_server_stops(served: Served) -> None:
    client, hearer = await served.open()
    stopping = asyncio.get_running_loop().create_task(served.server.stop())
    if served.direct:
        assert await client.end() == "chunks"
        assert await hearer.until_lost() == 1001
    client.close()
    await stopping


# -- our protocol class


async def test_one_write_for_a_batch(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same bytes for all."""
    _, one = await direct.open()
    _, two = await direct.open()
    written: list[bytes] = []
    for hearer in (one, two):
        link: Any = hearer.link
        monkeypatch.setattr(link, "_transport", SimpleNamespace(write=written.append))
    made = batch(IN, item(b"a"), item(b"b", b"c"))
    one.link.write_batch(made)
    two.link.write_batch(made)
    assert written == [b"3\r\nabc\r\n"] * 2
    assert written[0] is written[1]


async def test_a_client_of_http_1_0(direct: Served) -> None:
    client, hearer = await direct.open(version="1.0")
    assert "transfer-encoding" not in client.head
    hearer.write(b"a")
    hearer.link.write_batch(batch(IN, item(b"b"), item(b"c")))
    await received(client, b":\n\nabc")
    hearer.link.close(1001)
    assert await client.end() == "eof"
    assert client.raw == b":\n\nabc"
    await hearer.until(1001)


async def test_the_connection_ends_with_the_answer(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CLOSE_TIMEOUT_SECONDS", 1000.0)
    client, hearer = await direct.open()
    assert client.head["connection"] == "close"
    hearer.link.close(1000)
    assert await client.end() == "chunks"
    assert await client.gone() == b""
    await eventually(lambda: not direct.connections, "the connection has ended")


async def test_what_comes_behind_is_not_read(direct: Served) -> None:
    """Neither a body, nor further requests; it is bounded, and the stream goes on."""
    client, hearer = await direct.open("Content-Length: 10")
    request = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
    await client.send(request * 10)
    hearer.write(b"x")
    await received(client, b":\n\nx")
    pouring = asyncio.get_running_loop().create_task(client.send(request * 1_000_000))
    link: Any = hearer.link
    await eventually(lambda: not link._transport.is_reading(), "it is not read from")
    assert link._unheard <= stream.UNHEARD_BYTES + 1024 * 1024
    assert not pouring.done()
    assert direct.application.asked == 1
    assert direct.server.edge.memory.used_bytes == 0
    hearer.write(b"y")
    await received(client, b":\n\nxy")
    pouring.cancel()
    await asyncio.gather(pouring, return_exceptions=True)
    client.close()
    await eventually(lambda: hearer.write(b"z") or hearer.events, "the next writes notice")  # type: ignore[func-returns-value]


async def test_no_clock_runs(direct: Served) -> None:
    limits = LimitsSettings(idle_timeout=0.05, head_timeout=0.05, body_stall_timeout=0.05)
    direct.server.edge = Edge(limits, Metrics())
    client, hearer = await direct.open()
    await asyncio.sleep(0.2)  # four times the clocks
    hearer.write(b"x")
    await received(client, b":\n\nx")


async def test_a_client_that_vanished_is_dropped(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system, which sees that it takes nothing: it acknowledges all, but has no room."""
    monkeypatch.setattr(stream, "SILENT_SECONDS", 0.5)
    _, hearer = await direct.open(receive_buffer_bytes=4096)
    while "paused" not in hearer.events:
        hearer.write(b"x" * 50_000)
        await asyncio.sleep(0)
    await hearer.until("paused", 1006)


async def test_how_long_a_client_may_be_silent(direct: Served) -> None:
    _, hearer = await direct.open()
    link: Any = hearer.link
    bound = link._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert bound == stream.SILENT_SECONDS * 1000


async def test_where_the_system_has_no_such_bound(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_USER_TIMEOUT", None)
    client, hearer = await direct.open()
    hearer.write(b"x")
    await received(client, b":\n\nx")


async def test_how_much_is_written_ahead(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WRITE_HIGH_WATER_BYTES", 1000)
    _, hearer = await direct.open()
    link: Any = hearer.link
    assert link._transport.get_write_buffer_limits()[1] == 1000


async def test_no_clock_is_left_behind_the_end(direct: Served) -> None:
    client, hearer = await direct.open()
    client.reset()
    await hearer.until_lost()
    hearer.link.close(1000)
    link: Any = hearer.link
    assert link._ending is None


async def test_to_the_application_the_client_has_gone(direct: Served) -> None:
    heard: list[Event] = []

    async def afterwards(receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await respond(send, 500, b"for nobody", {})

    direct.application.afterwards = afterwards
    client, hearer = await direct.open()
    await eventually(lambda: not direct.server.uvicorn.server_state.tasks, "the application has returned")
    assert heard == [{"type": "http.disconnect"}]
    hearer.write(b"x")
    await received(client, b":\n\nx")


async def test_an_answer_that_has_begun_is_no_stream(direct: Served, caplog: pytest.LogCaptureFixture) -> None:
    async def begun(scope: Event, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await open_stream(scope, receive, send, Hearer(), HEADERS)

    server = LinkServer(begun, direct=True)
    await server.start()
    client = EventClient(server.port)
    await client.connect()
    await client.ask("/")
    assert await client.answer() == 500
    client.close()
    await server.stop()
    assert "has begun" in caplog.text


# -- freed

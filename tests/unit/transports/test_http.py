"""Bodies and answers over ASGI messages, without a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wsgw.shares.memory import Memory
from wsgw.transports.asgi import Event
from wsgw.transports.http import Body, BodyDropped, BodyTooLarge, ClientGone, handshake_of, respond, wait_gone


class Client:
    """Gives the events of ``parts``, then waits for ever; ``left`` it has given nothing of."""

    def __init__(self, *parts: bytes | None, more: bool = False) -> None:
        self.left: list[Event] = []
        self.more = asyncio.Event()
        for number, part in enumerate(parts, 1):
            more_body = more or number < len(parts)
            event = {"type": "http.request", "body": part, "more_body": more_body}
            self.left.append({"type": "http.disconnect"} if part is None else event)

    async def receive(self) -> Event:
        if not self.left:
            await self.more.wait()
            self.more.clear()
        return self.left.pop(0)


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    memory = Memory(1_000_000, asyncio.get_running_loop())
    yield memory
    assert memory.used_bytes == 0


def body(client: Client, memory: Memory, *headers: tuple[bytes, bytes]) -> Body:
    return Body({"headers": headers}, client.receive, memory)


def length(value: bytes) -> tuple[bytes, bytes]:
    return b"content-length", value


CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("parts", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"", b""], [b"abc", b""]])
async def test_a_body_is_read(memory: Memory, parts: list[bytes]) -> None:
    assert await body(Client(*parts), memory, CHUNKED).read(3) == b"".join(parts)


async def test_a_part_is_not_kept_beside_the_body(memory: Memory) -> None:
    part = bytes(1000)
    client = Client(part, more=True)
    event = client.left[0]
    before = sys.getrefcount(part), sys.getrefcount(event)
    reading = asyncio.ensure_future(body(client, memory, CHUNKED).read(5000))
    await asyncio.sleep(0)
    assert memory.used_bytes == len(part)
    assert (sys.getrefcount(part), sys.getrefcount(event)) == (before[0], before[1] - 1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_an_event_may_leave_out_what_is_the_default(memory: Memory) -> None:
    client = Client()
    client.left = [{"type": "http.request"}]
    assert await body(client, memory).read(0) == b""


async def test_over_the_limit(memory: Memory) -> None:
    client = Client(b"ab", b"cd", b"e", more=True)
    with pytest.raises(BodyTooLarge):
        await body(client, memory, CHUNKED).read(3)
    assert len(client.left) == 1


async def test_one_part_over_the_limit(memory: Memory) -> None:
    with pytest.raises(BodyTooLarge):
        await body(Client(b"abcd"), memory, CHUNKED).read(3)


async def test_over_the_limit_by_announcement(memory: Memory) -> None:
    client = Client(b"abcd")
    with pytest.raises(BodyTooLarge):
        await body(client, memory, length(b"4")).read(3)
    assert len(client.left) == 1


@pytest.mark.parametrize("announced", [b"", b"abc", b"9" * 5000])
async def test_an_announcement_that_is_no_number(memory: Memory, announced: bytes) -> None:
    assert await body(Client(b"abc"), memory, length(announced)).read(3) == b"abc"
    with pytest.raises(BodyTooLarge):
        await body(Client(b"abcd"), memory, length(announced)).read(3)


async def test_the_client_goes(memory: Memory) -> None:
    with pytest.raises(ClientGone):
        await body(Client(b"ab", None, more=True), memory, length(b"3")).read(3)


async def test_what_came_of_it_counts_and_may_be_dropped(memory: Memory) -> None:
    client = Client(bytes(3000), more=True)
    reading = body(client, memory, CHUNKED)
    other = body(Client(bytes(2000), more=True), memory, CHUNKED)
    tasks = [asyncio.ensure_future(one.read(10_000)) for one in (reading, other)]
    while memory.used_bytes < 5000:  # noqa: ASYNC110  a plain number
        await asyncio.sleep(0)
    memory.limit_bytes = 4000
    memory.add(0)
    await asyncio.sleep(0)
    assert memory.used_bytes == 2000, "the larger one is dropped, at once"
    assert reading.held_bytes() == 0
    async with asyncio.timeout(10):
        with pytest.raises(BodyDropped):
            await tasks[0]  # though nothing more comes
    tasks[1].cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("more", [True, False])
async def test_dropped_in_the_tick_in_which_more_comes(memory: Memory, more: bool) -> None:
    client = Client(b"ab", more=True)
    reading = body(client, memory, CHUNKED)
    task = asyncio.ensure_future(reading.read(10))
    while memory.used_bytes < 2:  # noqa: ASYNC110  a plain number
        await asyncio.sleep(0)
    client.left.append({"type": "http.request", "body": b"c", "more_body": more})
    client.more.set()
    reading.evict()
    async with asyncio.timeout(10):
        with pytest.raises(BodyDropped):
            await task


class Sent(list[Any]):
    async def send(self, event: Any) -> None:
        self.append(event)


async def test_answer() -> None:
    sent = Sent()
    await respond(sent.send, 200, b"abc", {"content-type": "text/plain", "x-y": "\xff"})
    headers = [(b"content-length", b"3"), (b"content-type", b"text/plain"), (b"x-y", b"\xff")]
    assert sent == [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"abc"},
    ]


async def test_an_answer_without_content_has_no_length() -> None:
    sent = Sent()
    await respond(sent.send, 204, b"", {})
    assert sent[0]["headers"] == []


def test_what_a_scope_says() -> None:
    headers = [(b"x-a", b"\xff")]
    request = handshake_of(
        {"path": "/p", "query_string": b"a=1&b=&a=%C3%A9", "headers": headers, "client": ("10.0.0.1", 5)}
    )
    assert (request.path, request.query, request.headers) == ("/p", {"a": "é", "b": ""}, {"x-a": "\xff"})
    assert request.client == "10.0.0.1"
    assert handshake_of({"path": "/", "headers": []}).client == ""


async def test_a_client_that_goes_is_noticed() -> None:
    async with asyncio.timeout(10):
        await wait_gone(Client(b"", None).receive)

"""Bodies and answers over ASGI messages, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from wsgw.transports import http
from wsgw.transports.asgi import Event
from wsgw.transports.http import Body, BodyTooLarge, ClientGone, handshake_of, respond, wait_gone


class Client:
    """Gives the events of ``parts``, then waits for ever; ``left`` it has given nothing of."""

    def __init__(self, *parts: bytes | None, more: bool = False) -> None:
        self.left: list[Event] = []
        for number, part in enumerate(parts, 1):
            more_body = more or number < len(parts)
            event = {"type": "http.request", "body": part, "more_body": more_body}
            self.left.append({"type": "http.disconnect"} if part is None else event)

    async def receive(self) -> Event:
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)


def body(client: Client, *headers: tuple[bytes, bytes]) -> Body:
    return Body({"headers": headers}, client.receive)


def length(value: bytes) -> tuple[bytes, bytes]:
    return b"content-length", value


CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("parts", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"", b""], [b"abc", b""]])
async def test_a_body_is_read(parts: list[bytes]) -> None:
    reading = body(Client(*parts), CHUNKED)
    assert reading.unfinished
    assert await reading.read(3) == b"".join(parts)
    assert not reading.unfinished


@pytest.mark.parametrize(
    ("headers", "unfinished"),
    [
        ([], False),
        ([length(b"0")], False),
        ([length(b"1")], True),
        ([length(b"x")], True),
        ([CHUNKED], True),
    ],
)
def test_whether_there_is_one(headers: Iterable[tuple[bytes, bytes]], unfinished: bool) -> None:
    assert body(Client(), *headers).unfinished is unfinished


async def test_an_event_may_leave_out_what_is_the_default() -> None:
    client = Client()
    client.left = [{"type": "http.request"}]
    assert await body(client).read(0) == b""


async def test_over_the_limit() -> None:
    client = Client(b"ab", b"cd", b"e", more=True)
    reading = body(client, CHUNKED)
    with pytest.raises(BodyTooLarge):
        await reading.read(3)
    assert len(client.left) == 1
    assert reading.unfinished


async def test_one_part_over_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        await body(Client(b"abcd"), CHUNKED).read(3)


async def test_over_the_limit_by_announcement() -> None:
    client = Client(b"abcd")
    reading = body(client, length(b"4"))
    with pytest.raises(BodyTooLarge):
        await reading.read(3)
    assert len(client.left) == 1
    assert reading.unfinished


@pytest.mark.parametrize("announced", [b"", b"abc", b"9" * 5000])
async def test_an_announcement_that_is_no_number(announced: bytes) -> None:
    assert await body(Client(b"abc"), length(announced)).read(3) == b"abc"
    with pytest.raises(BodyTooLarge):
        await body(Client(b"abcd"), length(announced)).read(3)


async def test_the_client_goes() -> None:
    with pytest.raises(ClientGone):
        await body(Client(b"ab", None, more=True), length(b"3")).read(3)
    await body(Client(None), length(b"3")).discard()


async def test_what_is_left_is_dropped() -> None:
    client = Client(b"ab", b"cd", b"ef")
    reading = body(client, CHUNKED)
    with pytest.raises(BodyTooLarge):
        await reading.read(1)
    await reading.discard()
    await reading.discard()
    assert client.left == []
    assert not reading.unfinished


async def test_dropping_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "UNREAD_BYTES", 3)
    client = Client(b"ab", b"cd", b"ef", more=True)
    await body(client, CHUNKED).discard()
    assert len(client.left) == 1


async def test_dropping_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "UNREAD_SECONDS", 0.01)
    async with asyncio.timeout(10):
        await body(Client(), CHUNKED).discard()


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


async def test_an_early_answer_is_out_before_the_rest_is_read() -> None:
    sent = Sent()

    async def rest() -> None:
        assert sent == [
            {
                "type": "http.response.start",
                "status": 413,
                "headers": [(b"content-length", b"3"), (b"connection", b"close")],
            },
            {"type": "http.response.body", "body": b"abc", "more_body": True},
        ]

    await respond(sent.send, 413, b"abc", {}, rest)
    assert sent[2:] == [{"type": "http.response.body", "body": b""}]


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

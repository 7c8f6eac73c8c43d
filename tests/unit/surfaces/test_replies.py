"""Replies as answers over HTTP: the payload, and those of their headers that the channel names."""

from __future__ import annotations

import pytest
from fastapi import Response

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import running
from wsgw.broker.delivery import FullPublication
from wsgw.broker.headers import parse
from wsgw.fanout.publication import Publication
from wsgw.surfaces import replies
from wsgw.surfaces.replies import answer, carrying

EXPOSED = "access-control-expose-headers"


def block(*lines: str) -> bytes:
    return "\r\n".join(["NATS/1.0", *lines, "", ""]).encode()


def reply(*lines: str, payload: bytes = b"x") -> Publication:
    return FullPublication("a", payload, 0.0, b"", block(*lines))


def of(response: Response, *names: str) -> list[tuple[str, str]]:
    """The headers of those ``names``, in order; all but the usual ones without."""
    usual = ("content-length", "content-type")
    every = [(name.decode(), value.decode()) for name, value in response.raw_headers]
    return [(name, value) for name, value in every if (name in names if names else name not in usual)]


def test_without_headers() -> None:
    text, binary = "text/plain; charset=utf-8", "application/octet-stream"
    for payload, media_type in ((b"ab", text), (b"", text), (b"\xff", binary)):
        response = answer(Publication("a", payload, 0.0), ())
        assert (response.status_code, response.body) == (200, payload)
        assert response.headers["content-type"] == media_type
        assert response.headers["content-length"] == str(len(payload))
        assert of(response) == []


def test_only_those_that_are_named() -> None:
    assert of(answer(reply("A: 1", "B: 2"), ())) == []
    response = answer(reply("A: 1", "B: 2", "b: 3", "C: 4"), ("B", "A", "Missing"))
    assert of(response) == [("b", "2"), ("a", "1"), (EXPOSED, "b, a, missing")]


def test_a_reply_without_any() -> None:
    assert of(answer(Publication("a", b"x", 0.0), ("A",))) == [(EXPOSED, "a")]


def test_several_values_are_several_lines() -> None:
    response = answer(reply("A: 1", "B: x", "A: 2", "A:"), ("A",))
    assert of(response, "a") == [("a", "1"), ("a", "2"), ("a", "")]


def test_names_that_http_does_not_tell_apart() -> None:
    response = answer(reply("X-A: 1", "x-a: 2"), ("X-A", "x-a", "X-A"))
    assert of(response) == [("x-a", "1"), ("x-a", "2"), (EXPOSED, "x-a")]


def test_there_is_one_content_type() -> None:
    lines = ("Content-Type: application/json", "Content-Type: text/html", "A: 1")
    assert of(answer(reply(*lines), ("A", "Content-Type")), "content-type", "a") == [
        ("a", "1"),
        ("content-type", "application/json"),
    ]
    assert of(answer(reply(*lines), ("A",)), "content-type") == [("content-type", "text/plain; charset=utf-8")]


def test_cookies_are_not_for_pages_to_read() -> None:
    response = answer(reply("Set-Cookie: a=1", "Set-Cookie: b=2"), ("Set-Cookie",))
    assert of(response) == [("set-cookie", "a=1"), ("set-cookie", "b=2")]


@pytest.mark.parametrize("bad", ["\0", "\x0b", "\x1b[2J", "\x7f", "a\x00b", "\x1f"])
def test_values_that_are_none_of_http(bad: str) -> None:
    assert of(answer(reply(f"A: {bad}.", "A: good"), ("A",)), "a") == [("a", "good")]


def test_values_that_are() -> None:
    assert of(answer(reply("A: é\tx ~"), ("A",)), "a") == [("a", "é\tx ~")]


def test_they_are_bounded() -> None:
    lines = ["A: " + "x" * 1000] * 50 + ["B: y"]
    response = answer(reply(*lines), ("A", "B"))
    assert [name for name, _ in of(response, "a", "b")] == ["a"] * 4 + ["b"], "what fits"
    assert sum(len(name) + len(value) + 4 for name, value in of(response, "a", "b")) <= replies.MAX_HEADERS_BYTES


def test_an_error_has_a_body_of_its_own() -> None:
    headers = parse(block("Content-Type: text/html", "Content-Encoding: gzip", "Retry-After: 5", "Other: 1"))
    names = ("Content-Type", "Content-Encoding", "Retry-After")
    response = carrying(Response(b"{}", 503, media_type="application/json"), headers, names)
    assert response.headers["content-type"] == "application/json"
    assert of(response) == [("retry-after", "5"), (EXPOSED, "content-type, content-encoding, retry-after")]
    assert of(carrying(Response(b"{}", 503), headers, ())) == []


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
async def test_over_the_wire(nats: NatsServer, peer: Peer, direct: bool) -> None:
    names = ["Content-Type", "X-Total", "X-Word", "X-Bad"]
    channels = [
        {"name": "get", "direction": "request", "headers": names},
        {"name": "plain", "direction": "request", "subject": "get"},
    ]
    headers = {"Content-Type": "application/json", "X-Total": "7", "X-Word": "é", "X-Bad": "a\x01", "X-Hidden": "1"}
    await peer.answer_with("get", b'{"a":1}', headers)
    async with running(nats.url, direct=direct, channels=channels) as served:
        told = await served.http.post("/request/get", content=b"?")
        assert (told.status_code, told.json()) == (200, {"a": 1})
        assert told.headers.get_list("content-type") == ["application/json"]
        assert told.headers["x-total"] == "7"
        assert dict(told.headers.raw)[b"x-word"] == "é".encode()
        assert told.headers[EXPOSED] == "content-type, x-total, x-word, x-bad"
        assert not {"x-hidden", "x-bad"} & set(told.headers)
        plain = await served.http.post("/request/plain", content=b"?")
        assert plain.headers["content-type"] == "text/plain; charset=utf-8"
        assert not {"x-total", EXPOSED} & set(plain.headers)

"""What a request said, taken apart on demand."""

from __future__ import annotations

import pytest

from wsgw.protocols.handshake import Handshake


def made(query: bytes = b"", *headers: tuple[bytes, bytes]) -> Handshake:
    return Handshake("/socket.io/", query, headers, "127.0.0.1")


def test_as_it_came() -> None:
    assert (made().path, made().client) == ("/socket.io/", "127.0.0.1")


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        (b"", {}),
        (b"channels=A,%C3%A9&x=", {"channels": "A,é", "x": ""}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a+b=c+d%20e", {"a b": "c d e"}),
        (b"flag", {"flag": ""}),
        (b"a=%FF", {"a": "\ufffd"}),
        (b"a=\xff", {"a": "ÿ"}),
        (b"&&=&a=1;b=2", {"": "", "a": "1;b=2"}),
    ],
)
def test_query(raw: bytes, query: dict[str, str]) -> None:
    assert made(raw).query == query


def test_headers() -> None:
    handshake = made(b"", (b"origin", b"http://page"), (b"x-a", b"1"), (b"x-a", b"\xe9"))
    assert handshake.headers == {"origin": "http://page", "x-a": "é"}
    assert [handshake.header(name) for name in (b"origin", b"x-a", b"x-b")] == ["http://page", "é", None]


def test_taken_apart_once() -> None:
    handshake = made(b"a=1", (b"b", b"2"))
    assert handshake.query is handshake.query == {"a": "1"}

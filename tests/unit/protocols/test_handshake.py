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


def test_fields_are_all_of_them_in_order() -> None:
    handshake = made(b"a=1&b=&a=%C3%A9")
    assert handshake.fields == [("a", "1"), ("b", ""), ("a", "é")]
    assert handshake.query == {"a": "é", "b": ""}
    handshake.forget()
    assert handshake.fields == made().fields == ()


def test_headers() -> None:
    handshake = made(b"", (b"origin", b"http://page"), (b"x-a", b"1"), (b"x-a", b"\xe9"))
    assert handshake.headers == {"origin": "http://page", "x-a": "é"}
    assert [handshake.header(name) for name in (b"origin", b"x-a", b"x-b")] == ["http://page", "é", None]


def test_its_size_is_what_is_kept() -> None:
    header = (b"cookie", bytes(10_000))
    assert 10_000 < made(b"", header).size_bytes < 11_000
    for handshake in (made(b"a=" + b"x" * 10_000), made(b"a=" + b"x" * 10_000, header)):
        size = handshake.size_bytes
        assert handshake.query
        assert size <= handshake.size_bytes < size + 500
        handshake.forget()
        assert handshake.size_bytes < 100
        assert (handshake.query, handshake.headers, handshake.client) == ({}, {}, "127.0.0.1")


def test_taken_apart_once() -> None:
    handshake = made(b"a=1", (b"b", b"2"))
    assert handshake.query is handshake.query == {"a": "1"}

"""Heads of requests: what is taken, and what is refused because another server might read it otherwise."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.protocols.http1.head import (
    END,
    MAX_PATH_BYTES,
    MAX_QUERY_BYTES,
    MAX_QUERY_FIELDS,
    Head,
    HeadError,
    TargetTooLong,
)


def head(line: str = "GET / HTTP/1.1", *headers: str) -> Head:
    """A head with one Host, unless ``headers`` say something of that."""
    host = () if any("host" in header.lower() for header in headers) else ("Host: x",)
    return Head("\r\n".join([line, *host, *headers, "", ""]).encode("latin-1"))


def test_a_request() -> None:
    found = head("POST /publish/a%20b?x=%31&y HTTP/1.1", "Host: a", "X-Y:  one two \t", "x-y:", "Content-Length: 3")
    assert (found.method, found.version, found.target) == ("POST", "1.1", b"/publish/a%20b?x=%31&y")
    assert (found.path, found.raw_path, found.query) == ("/publish/a b", b"/publish/a%20b", b"x=%31&y")
    assert found.size == 91
    assert found.headers == [(b"host", b"a"), (b"x-y", b"one two"), (b"x-y", b""), (b"content-length", b"3")]
    assert found.header(b"x-y") == b""
    assert found.header(b"none") is None
    assert found.body_bytes == 3
    assert found.keeps_alive
    assert not found.upgrades
    assert not found.expects_continue


@pytest.mark.parametrize(
    ("target", "host"),
    [("http://a", b"a"), ("http://A.b:80", b"A.b:80"), ("wss://[::1]:8", b"[::1]:8"), ("", b"x")],
)
def test_the_host_of_a_target_counts(target: str, host: bytes) -> None:
    """Whatever Host says, which is not looked at then, and need not be there in HTTP/1.0."""
    assert head(f"GET {target}/b HTTP/1.1", "Host: x", "A: b").headers == [(b"host", host), (b"a", b"b")]
    if target:
        assert Head(f"GET {target}/b HTTP/1.0\r\n\r\n".encode()).headers == [(b"host", host)]
    with pytest.raises(HeadError, match="there is one Host"):
        Head(f"GET {target}/b HTTP/1.1\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", b""),
        ("/?", "/", b""),
        ("//x", "//x", b""),
        ("/a/../b", "/a/../b", b""),
        ("/%E2%82%AC", "/€", b""),
        ("/a%00b", "/a\0b", b""),
        ("http://host:1/a?b", "/a", b"b"),
        ("*", "*", b""),
    ],
)
def test_targets(target: str, path: str, query: bytes) -> None:
    found = head(f"OPTIONS {target} HTTP/1.1")
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize(
    ("headers", "keeps"),
    [((), True), (("Connection: close",), False), (("Connection: x, Close",), False), (("Connection: x",), True)],
)
def test_whether_the_connection_stays(headers: tuple[str, ...], keeps: bool) -> None:
    assert head("GET / HTTP/1.1", *headers).keeps_alive is keeps
    assert not head("GET / HTTP/1.0", *headers).keeps_alive
    assert not head("GET / HTTP/1.0", "Connection: keep-alive").keeps_alive


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 12 ",), 12),
        (("Transfer-Encoding: chunked",), None),
        (("Transfer-Encoding: Chunked ",), None),
    ],
)
def test_bodies(headers: tuple[str, ...], size: int | None) -> None:
    assert head("POST / HTTP/1.1", *headers).body_bytes == size


def test_a_client_that_waits_to_be_asked() -> None:
    assert not head("POST / HTTP/1.0", "Content-Length: 1", "Expect: 100-continue").expects_continue
    assert head("POST / HTTP/1.1", "Content-Length: 1", "Expect: 100-Continue").expects_continue
    assert not head("POST / HTTP/1.1", "Expect: something-else").expects_continue


@pytest.mark.parametrize(
    ("upgrade", "connection", "upgrades"),
    [
        ("websocket", "Upgrade", True),
        ("WebSocket", "keep-alive, upgrade", True),
        ("h2c", "Upgrade", False),
        ("websocket", "keep-alive", False),
    ],
)
def test_upgrades(upgrade: str, connection: str, upgrades: bool) -> None:
    assert head("GET / HTTP/1.1", f"Upgrade: {upgrade}", f"Connection: {connection}").upgrades is upgrades


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
        ("GET / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"),
        ("GET / HTTP/1.1", "Content-Length: 1, 1"),
        ("GET / HTTP/1.1", "Content-Length: +1"),
        ("GET / HTTP/1.1", "Content-Length: -1"),
        ("GET / HTTP/1.1", "Content-Length: 0x1"),
        ("GET / HTTP/1.1", "Content-Length:"),
        ("GET / HTTP/1.1", "Content-Length: 99999999999999999999999"),
        ("GET / HTTP/1.1", "Transfer-Encoding: gzip"),
        ("GET / HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
        ("GET / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("GET / HTTP/1.1", "Transfer-Encoding: chunked, identity"),
        ("GET / HTTP/1.1", "Transfer-Encoding: xchunked"),
        ("GET / HTTP/1.0", "Transfer-Encoding: chunked"),
        ("GET / HTTP/1.1", "Transfer-Encoding : chunked"),
        ("GET / HTTP/1.1", "Host: a", "Host: b"),
        ("GET / HTTP/1.1", "Host: a", " folded"),
        ("GET / HTTP/1.1", " Host: a"),
        ("GET / HTTP/1.1", "Host: a\0b"),
        ("GET / HTTP/1.1", "Host: a\nX: b"),
        ("GET / HTTP/1.1", "Host: a\rX: b"),
        ("GET / HTTP/1.1", "Ho st: a"),
        ("GET / HTTP/1.1", "no colon"),
        ("GET / HTTP/1.1\nHost: a",),
        ("GET /a b HTTP/1.1",),
        ("GET /\xff HTTP/1.1",),
        ("GET /%ff HTTP/1.1",),
        ("GET /%c0%af HTTP/1.1",),
        ("GET a HTTP/1.1",),
        ("GET http://host HTTP/1.1",),
        ("GET http://user@host/ HTTP/1.1",),
        ("CONNECT a:1 HTTP/1.1",),
        ("get / HTTP/1.1",),
        ("GET / HTTP/2.0",),
        ("GET / HTTP/1.2",),
        ("GET / HTTPS/1.1",),
        ("GET /",),
        ("GET / HTTP/1.1", "Host: a", "Content-Length: " + 5000 * "0" + "1"),
        ("GET / HTTP/1.1", "Host: a", "Connection: " + 64 * "a," + "close"),
        ("PRI * HTTP/2.0",),
        ("",),
        ("\x16\x03\x01\x02",),
    ],
    ids=lambda lines: repr(lines)[:60],
)
def test_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(HeadError) as caught:
        head(*lines)
    assert str(caught.value).isprintable()
    assert str(caught.value) not in ("", "None")


def test_a_large_head_counts_while_it_is_kept() -> None:
    assert head("GET / HTTP/1.1", "A: " + "b" * 3000).kept_bytes == 0
    large = head("GET / HTTP/1.1", "A: " + "b" * 5000)
    assert large.kept_bytes == large.size > 5000


def test_a_host_is_needed_in_http_1_1() -> None:
    assert Head(b"GET / HTTP/1.0\r\n\r\n").path == "/"
    with pytest.raises(HeadError, match="one Host"):
        Head(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("most", [MAX_PATH_BYTES, MAX_QUERY_BYTES])
def test_long_targets(most: int) -> None:
    target = "/" if most == MAX_PATH_BYTES else "/?"
    longest = target + "a" * (most - (most == MAX_PATH_BYTES))
    assert head(f"GET {longest} HTTP/1.1").target == longest.encode()
    with pytest.raises(TargetTooLong):
        head(f"GET {longest}a HTTP/1.1")


def test_more_fields_of_a_query_than_anybody_needs() -> None:
    """None may be passed over: a client that asks for some channels would get others, or all."""
    most = "&".join(["a=1"] * MAX_QUERY_FIELDS)
    assert head(f"GET /?{most} HTTP/1.1").query == most.encode()
    with pytest.raises(HeadError, match="at most 100 fields"):
        head(f"GET /?{most}&channels=b HTTP/1.1")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(junk: bytes) -> None:
    for raw in (junk, b"GET /" + junk, b"GET / HTTP/1.1\r\n" + junk, b"GET / HTTP/1.1\r\nContent-Length: " + junk):
        said, found = "", None
        try:
            found = Head(raw.replace(END, b"") + END)
        except HeadError as error:
            said = str(error)
        assert said.isprintable()
        assert said or found
        if found is not None:
            assert found.method.isupper()
            assert found.body_bytes is None or found.body_bytes >= 0


def test_it_is_freed_without_the_collector() -> None:
    head("GET / HTTP/1.1", "A: b")
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            head("GET / HTTP/1.1", "A: b")
        assert gc.collect() == 0
    finally:
        gc.enable()

"""Heads, bodies, queries, Host and Origin."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Target, cut, plain, text
from wsgw.access.pages import MAX_SHOWN_CHARS, Pages
from wsgw.channels.start import Start
from wsgw.config import hosts, origins
from wsgw.errors import GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.http1.chunked import BodyError, Chunked, TrailersTooLarge
from wsgw.protocols.http1.head import END, Head, HeadError
from wsgw.protocols.sse.request import MAX_CHANNELS, stream_request
from wsgw.protocols.websocket.request import websocket_request

PAGES = [
    Pages(["same", "https://a.example", "https://*.b.example:8443"], ["a.example", "*.b.example"]),
    Pages("same", None, "127.0.0.1", credentials=True),
    Pages("any"),
]


def head(data: bytes) -> None:
    try:
        found = Head(data + END)
    except HeadError:
        return
    assert found.version in ("1.0", "1.1")
    assert found.path.encode().decode() == found.path
    assert found.body_bytes is None or found.body_bytes >= 0
    for name, value in found.headers:
        assert name == name.lower()
        assert b"\r" not in value
        assert b"\n" not in value
        assert b"\0" not in value
    handshake = Handshake(found.path, found.query, found.headers, "")
    assert handshake.size_bytes >= 0
    request(handshake)
    for pages in PAGES:
        look(pages, found.headers)


def look(pages: Pages, headers: list[tuple[bytes, bytes]]) -> None:
    verdict = pages.look(headers)
    if verdict.refusal is not None:
        pages.tell(verdict)
        assert verdict.refusal.isprintable()
        assert verdict.refusal.isascii()
        assert len(verdict.refusal) <= MAX_SHOWN_CHARS + 40


def request(handshake: Handshake) -> None:
    """What it asks a surface for."""
    starts: list[Start] = []
    for name in (None, "IN"):
        try:
            stream = stream_request(name, handshake)
        except GatewayError:
            continue
        assert 1 <= len(stream.names) <= MAX_CHANNELS
        starts.append(stream.start)
    with suppress(GatewayError):
        offered = [each.strip() for each in (handshake.header(b"sec-websocket-protocol") or "").split(",")]
        starts.append(websocket_request(handshake.query, offered).start)
    for start in starts:
        assert start.last is None or 0 <= start.last <= 10_000
        assert start.after is None or all(number >= 0 for number in start.after.values())


def query(data: bytes) -> None:
    asked, _, after = data.partition(b"\n")
    request(Handshake("/sse", asked, [(b"last-event-id", after)], ""))


def body(pieces: list[bytes]) -> tuple[str, bytes]:
    """How it ended, and what came."""
    chunked, taken, kept = Chunked(256, 5), bytearray(), b""
    for piece in pieces:
        kept += piece
        while not chunked.complete:
            try:
                at = chunked.take(kept, 0, taken)
            except (BodyError, TrailersTooLarge) as error:
                return type(error).__name__, b""
            assert 0 <= at <= len(kept)
            kept = kept[at:]
            if chunked.hungry:
                break
    return ("complete", bytes(taken)) if chunked.complete else ("more", bytes(taken))


def chunked(data: bytes) -> None:
    whole = body([data])
    assert len(whole[1]) <= len(data)
    assert body(cut(data)) == whole


def pages(data: bytes) -> None:
    host, _, origin = data.partition(b"\n")
    for each in PAGES:
        look(each, [(b"host", host), (b"origin", origin)])
        look(each, [(b"origin", origin), (b"host", host), (b"host", origin)])
    for of in (hosts.split_port, hosts.pattern_of, hosts.entry_of, origins.origin_of, origins.entry_of):
        with suppress(ValueError):
            of(text(origin))
    hosts.is_address(text(host))
    hosts.is_loopback(text(host))


HEAD_SEEDS = (
    b"GET /ws/IN?envelope=1&after=1.ab-3 HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: bearer, a.b.c\r\nOrigin: https://a.example",
    b"POST /publish/OUT HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue",
    b"POST /publish/OUT HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked",
    b"GET /sse?channel=a&channel=b&last=5 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nLast-Event-ID: 1.ab-3",
    b"GET /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close, x",
)
HEAD_WORDS = (
    *(b"GET ", b"POST ", b"OPTIONS ", b"CONNECT ", b" HTTP/1.1\r\n", b" HTTP/2.0\r\n", b"\r\n", b"\r\n ", b"\r\n\t"),
    *(b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Upgrade: websocket", b"Connection: ", b"Expect"),
    *(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Protocol: ", b"Origin: ", b"keep-alive"),
    *(b"http://", b"//", b"*", b"?", b"&", b"%00", b"%0d%0a", b"%ff", b"%e2%82", b"+", b"18446744073709551616", b"#"),
)
QUERY_WORDS = (
    *(b"channel=", b"last=", b"since=", b"after=", b"envelope=1", b"last_event_id=", b"&", b"1.", b"-", b"%", b"1h"),
    *(b"10000", b"1e9", b"nan", b"inf", b"60s", b"9007199254740993"),
)
PAGE_WORDS = (
    *(b"http://", b"https://", b"null", b"localhost", b"127.0.0.1", b"[::1]", b":80", b":443", b":65536", b"*.", b"."),
    *(b"xn--", b"\xc3\xa9", b"%", b"@", b"a.example", b".b.example", b":8443", b"::ffff:", b"/"),
)

TARGETS = (
    Target("head", plain(head), HEAD_SEEDS, HEAD_WORDS),
    Target(
        "chunked",
        plain(chunked),
        (b"3\r\nabc\r\n0\r\n\r\n", b"a;x=1\r\n0123456789\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nrest"),
        (b"\r\n", b"0\r\n", b"0\r\n\r\n", b"fffffffffffffff\r\n", b";", b"\t", b"A: b\r\n", b"-1"),
    ),
    Target(
        "query",
        plain(query),
        (b"channel=a&channel=b&last=5\n1.ab-3.cd-9", b"since=1h&envelope=1&after=1.ab-3", b"last_event_id=1.x-1"),
        QUERY_WORDS,
    ),
    Target("pages", plain(pages), (b"a.example:80\nhttps://x.b.example:8443", b"[::1]:3007\nnull"), PAGE_WORDS, 500),
)

"""Requests whose end two servers could see at different places: a proxy's next client must never get the answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from hostile.sockets import Target, read_all, send

_POST = b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\n"
#: What would be understood as a request of its own by a server that sees the end of the first before it.
_STRAY = b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nstray"
_CHUNKS = b"0\r\n\r\n"


def _with(*lines: bytes, body: bytes = b"") -> bytes:
    return _POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


#: Refused, and nothing behind it is read: 400 (or 501 for what is not known), or the connection ends.
REFUSED = {
    "two lengths that differ": _with(b"Content-Length: 0", b"Content-Length: 84", body=_STRAY),
    "a list of lengths": _with(b"Content-Length: 0, 84", body=_STRAY),
    "a length with a sign": _with(b"Content-Length: +5", body=b"hello" + _STRAY),
    "a length below zero": _with(b"Content-Length: -1", body=_STRAY),
    "a length in hex": _with(b"Content-Length: 0x5", body=b"hello" + _STRAY),
    "a length with a space in it": _with(b"Content-Length: 1 0", body=b"hello" + _STRAY),
    "a length with a comma": _with(b"Content-Length: 5,", body=b"hello" + _STRAY),
    "an empty length": _with(b"Content-Length:", body=_STRAY),
    "a length of 2 to the 64": _with(b"Content-Length: 18446744073709551616", body=_STRAY),
    "a length of 400 digits": _with(b"Content-Length: " + b"9" * 400, body=_STRAY),
    "a space before the colon": _with(b"Content-Length : 5", body=b"hello" + _STRAY),
    "a tab before the colon": _with(b"Transfer-Encoding\t: chunked", body=_CHUNKS + _STRAY),
    "chunked is not last": _with(b"Transfer-Encoding: chunked, identity", body=_CHUNKS + _STRAY),
    "an encoding that is none": _with(b"Transfer-Encoding: xchunked", body=_CHUNKS + _STRAY),
    "chunked with a NUL": _with(b"Transfer-Encoding: chunked\0", body=_CHUNKS + _STRAY),
    "chunked in quotes": _with(b'Transfer-Encoding: "chunked"', body=_CHUNKS + _STRAY),
    "a vertical tab": _with(b"Transfer-Encoding:\x0bchunked", body=_CHUNKS + _STRAY),
    "a chunk size that is none": _with(b"Transfer-Encoding: chunked", body=b"x\r\n" + _CHUNKS + _STRAY),
    "a chunk size below zero": _with(b"Transfer-Encoding: chunked", body=b"-1\r\nx\r\n" + _CHUNKS + _STRAY),
    "a chunk size with 0x": _with(b"Transfer-Encoding: chunked", body=b"0x1\r\nx\r\n" + _CHUNKS + _STRAY),
    "a chunk size of 17 digits": _with(b"Transfer-Encoding: chunked", body=b"1" + b"0" * 16 + b"\r\nx\r\n" + _STRAY),
    "a chunk longer than it says": _with(b"Transfer-Encoding: chunked", body=b"1\r\nxyz\r\n" + _CHUNKS + _STRAY),
    "a header of no colon": _with(b"Content-Length 5", body=b"hello" + _STRAY),
    "a folded header": _with(b"Content-Length: 5", b"X: a", b" b", body=b"hello") + _STRAY,
    "a folded first header": b"POST /publish/OUT HTTP/1.1\r\n Host: x\r\nContent-Length: 0\r\n\r\n" + _STRAY,
    "a bare CR in a header": _with(b"X: a\rContent-Length: 5", body=b"hello" + _STRAY),
}
#: One of two meanings, but never both: refused, or answered once and the connection ended.
EITHER = {
    "length and chunks": _with(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=_CHUNKS + _STRAY),
    "chunks and length": _with(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=_CHUNKS + _STRAY),
    "chunked twice": _with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=_CHUNKS) + _STRAY,
    "chunked in HTTP/1.0": _with(b"Transfer-Encoding: chunked", body=_CHUNKS).replace(b"1.1", b"1.0") + _STRAY,
    "a length in trailers": _with(b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 84\r\n\r\n") + _STRAY,
    "two encodings": _with(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS) + _STRAY,
    "identity": _with(b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello") + _STRAY,
    "two lengths that agree": _with(b"Content-Length: 5", b"Content-Length: 5", body=b"hello") + _STRAY,
    "bare LFs": _with(b"Content-Length: 5").replace(b"\r\n", b"\n") + b"hello" + _STRAY,
    "a bare LF behind a header": _POST + b"X: a\nContent-Length: 5\r\n\r\nhello" + _STRAY,
    "bare LFs between chunks": _with(b"Transfer-Encoding: chunked", body=b"1\nx\n0\n\n") + _STRAY,
    "a bare LF in an extension": _with(b"Transfer-Encoding: chunked", body=b"1;a\nb\r\nx\r\n" + _CHUNKS) + _STRAY,
}
#: Good requests, though odd: each is answered 202, and so is the one behind it.
GOOD = {
    "a length with zeros": _with(b"Content-Length: 0005", body=b"hello"),
    "spaces around a length": _with(b"Content-Length:  \t 5 ", body=b"hello"),
    "lower case": _with(b"content-length: 5", body=b"hello"),
    "chunked in capitals": _with(b"TRANSFER-ENCODING: CHUNKED", body=b"5\r\nhello\r\n" + _CHUNKS),
    "chunk sizes in capitals": _with(b"Transfer-Encoding: chunked", body=b"A\r\n0123456789\r\n" + _CHUNKS),
    "zeros before a chunk size": _with(b"Transfer-Encoding: chunked", body=b"0005\r\nhello\r\n" + _CHUNKS),
    "a chunk extension": _with(b"Transfer-Encoding: chunked", body=b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
    "trailers": _with(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: y\r\nZ: a\r\n\r\n"),
    "many small chunks": _with(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 1000 + _CHUNKS),
    "Expect": _with(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello"),
}


@pytest.fixture
async def heard(nats: NatsServer, target: Target) -> AsyncIterator[list[bytes]]:
    """What comes on OUT."""
    peer = await Peer.connect(nats.url)
    yield await peer.listen("OUT")
    await peer.close()


async def _answers(target: Target, request: bytes) -> list[int]:
    """The statuses of all that is answered until the gateway ends the connection."""
    with await target.connect() as made:
        await send(made, request)
        answer = await read_all(made, 20)
    assert answer is not None, "the connection stays open"
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d+)", answer)]


@pytest.mark.parametrize("what", REFUSED)
async def test_refused(target: Target, heard: list[bytes], what: str) -> None:
    statuses = await _answers(target, REFUSED[what])
    assert statuses in ([400], [501], [413], []), statuses
    assert b"stray" not in heard


@pytest.mark.parametrize("what", EITHER)
async def test_one_meaning(target: Target, heard: list[bytes], what: str) -> None:
    """Where it is understood at all, what is behind it is a request behind it, or not read."""
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    statuses = await _answers(target, EITHER[what] + last)
    assert statuses in ([400], [501], [202], [413], [202, 400], [202, 202, 200], []), statuses
    if "and" in what:  # length and chunks: at most one of them counts, and the connection is given up
        assert len(statuses) <= 1, statuses


@pytest.mark.parametrize("what", GOOD)
async def test_good(target: Target, heard: list[bytes], what: str) -> None:
    last = _with(b"Content-Length: 6", b"Connection: close", body=b"behind")
    statuses = await _answers(target, GOOD[what] + last)
    assert [status for status in statuses if status != 100] == [202, 202]


async def test_the_connection_is_the_next_clients(target: Target, heard: list[bytes]) -> None:
    """As a balancer sends them: whatever a client put into its body, the next one gets its own answer."""
    request = _with(b"Content-Length: %d" % len(_STRAY), body=_STRAY)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert await _answers(target, request * 3 + last) == [202, 202, 202, 200]
    assert all(payload == _STRAY for payload in heard)

"""The short way through NATS' protocol: messages handed over whole, all else left to the library, for every split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from wsgw.broker.parser import MAX_LINE_BYTES, Deliver, DirectParser

#: Lines, and who is told what of each: the arguments for the subscription 1, a line for the library, a refused subject.
LINES: list[tuple[bytes, object]] = [
    (b"MSG a.b 1 3\r\nx\r\n\r\n", (b"a.b", b"x\r\n")),
    (b"MSG a.b 1 3\r\ny\r\n\r\n", (b"a.b", b"y\r\n")),
    (b"MSG a 1 _INBOX.r 0\r\n\r\n", (b"a", b"", b"_INBOX.r", b"")),
    (b"MSG a 1 _INBOX.s 1\r\nx\r\n", (b"a", b"x", b"_INBOX.s", b"")),
    (b"MSG a 1 0\r\n\r\n", (b"a", b"")),
    (b"PING\r\n", b"PING\r\n"),
    (b"MSG other 2 2\r\nhi\r\n", b"MSG other 2 2\r\nhi\r\n"),
    (b"MSG other 2 2\r\nho\r\n", b"MSG other 2 2\r\nho\r\n"),
    (b"MSG other 22 2\r\nho\r\n", b"MSG other 22 2\r\nho\r\n"),
    (b"MSG ended 3 2\r\nho\r\n", None),
    (b"MSG ended 3 2\r\nho\r\n", None),
    (b"HMSG h 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", (b"h", b"abc", b"", b"NATS/1.0\r\n\r\n")),
    (b"HMSG h 1 12 15\r\nNATS/1.1\r\n\r\ndef\r\n", (b"h", b"def", b"", b"NATS/1.1\r\n\r\n")),
    (b"HMSG h 1 re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n", (b"h", b"", b"re.ply", b"NATS/1.0\r\n\r\n")),
    (b"HMSG h 1 0 2\r\nab\r\n", (b"h", b"ab", b"", b"")),
    (b"HMSG other 2 re.ply 2 3\r\nabc\r\n", b"MSG other 2 re.ply 1\r\nc\r\n"),  # no headers that it could read
    (b"PONG\r\n", b"PONG\r\n"),
    (b"\nPONG\r\n", b"\nPONG\r\n"),
    (b"+OK\r\n", b"+OK\r\n"),
    (b"-ERR 'Permissions Violation for Publish to \"X\"'\r\n", "X"),
    (b"-ERR 'Slow Consumer'\r\n", b"-ERR 'Slow Consumer'\r\n"),
    (b'INFO {"a": 1}\r\n', b'INFO {"a": 1}\r\n'),
    (b"MSG  a.c\t1  4\r\nMSG \r\n", (b"a.c", b"MSG ")),
]
STREAM = b"".join(line for line, _ in LINES)
TOLD = [told for _, told in LINES if told is not None]


def known(number: bytes) -> bool:
    """The library's subscriptions; 3 has ended."""
    return number in (b"2", b"22")


def parsed(chunks: list[bytes]) -> list[object]:
    told: list[object] = []
    direct: dict[bytes, Deliver] = {b"1": lambda *called_with: told.append(called_with)}
    parser = DirectParser(direct, lambda refusal: told.append(refusal.subject), told.append, known)
    for chunk in chunks:
        parser.feed(chunk)
    return told


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_every_split(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    assert parsed([STREAM[a:b] for a, b in pairwise(places)]) == TOLD


def test_byte_by_byte() -> None:
    assert parsed([bytes([byte]) for byte in STREAM]) == TOLD


def test_a_subscription_that_ends_in_the_middle() -> None:
    told: list[object] = []
    direct: dict[bytes, Deliver] = {}

    def once(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None:
        told.append(payload)
        del direct[b"1"]

    direct[b"1"] = once
    DirectParser(direct, told.append, told.append, known).feed(b"MSG a 1 1\r\nx\r\n" * 2 + b"PING\r\n")
    assert told == [b"x", b"PING\r\n"]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 1 x\r\n",
        b"MSG \r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 -9\r\n",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 9 5\r\n",
        b"HMSG a 1 -1 5\r\n",
        b"HMSG a 1 5 x\r\n",
        b"HMSG a 1 b c 1 5\r\n",
        b"MSG a 1 b c 5\r\n",
        b"x" * (MAX_LINE_BYTES + 1),
    ],
)
def test_what_is_no_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parsed([line])


@pytest.mark.parametrize(
    "block", [b"\r\n\r\n", b"NATS", b"N", b"NATS/1.0", b"\r\n", b"NATS/1.0\r\n", b"HTTP/1.1 200\r\n\r\n"]
)
def test_a_block_of_headers_that_is_none_is_kept_from_the_library(block: bytes) -> None:
    """It would end the connection at one, and anybody who answers a request may send it."""
    others: list[bytes] = []
    parser = DirectParser({}, lambda violation: None, others.append, lambda number: True)
    parser.feed(b"HMSG _INBOX.a 7 back %d %d\r\n%b" % (len(block), len(block) + 2, block) + b"ok\r\nPING\r\n")
    good = b"HMSG _INBOX.a 7 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n"
    parser.feed(good)
    assert others == [b"MSG _INBOX.a 7 back 2\r\nok\r\n", b"PING\r\n", good]

"""NATS' protocol cut into messages and other lines, for every split."""

from __future__ import annotations

import math
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.broker import parser as module
from wsgw.broker.delivery import receiver
from wsgw.broker.parser import (
    HEADERS_BYTES,
    LEAST_PAYLOAD_BYTES,
    MAX_LINE_BYTES,
    WINDOW_BYTES,
    Deliver,
    DirectParser,
    ProtocolError,
)
from wsgw.fanout.publication import Publication

#: Lines, and what is told of each: the arguments for the subscription 1, or the line.
LINES: list[tuple[bytes, object]] = [
    (b"MSG a.b 1 3\r\nx\r\n\r\n", (b"a.b", b"x\r\n")),
    (b"MSG a.b 1 3\r\ny\r\n\r\n", (b"a.b", b"y\r\n")),
    (b"MSG a 1 _INBOX.r 0\r\n\r\n", (b"a", b"", b"_INBOX.r", b"")),
    (b"MSG a 1 _INBOX.s 1\r\nx\r\n", (b"a", b"x", b"_INBOX.s", b"")),
    (b"MSG a 1 0\r\n\r\n", (b"a", b"")),
    (b"PING\r\n", b"PING\r\n"),
    (b"MSG other 2 2\r\nhi\r\n", None),
    (b"MSG other 11 2\r\nho\r\n", None),
    (b"MSG ended 3 2\r\nho\r\n", None),
    (b"MSG ended 3 2\r\nho\r\n", None),
    (b"HMSG h 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", (b"h", b"abc", b"", b"NATS/1.0\r\n\r\n")),
    (b"HMSG h 1 12 15\r\nNATS/1.1\r\n\r\ndef\r\n", (b"h", b"def", b"", b"NATS/1.1\r\n\r\n")),
    (b"HMSG h 1 re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n", (b"h", b"", b"re.ply", b"NATS/1.0\r\n\r\n")),
    (b"HMSG h 1 0 2\r\nab\r\n", (b"h", b"ab", b"", b"")),
    (b"HMSG h 1 re.ply 2 3\r\nabc\r\n", (b"h", b"c", b"re.ply", b"ab")),
    (b"PONG\r\n", b"PONG\r\n"),
    (b"\nPONG\r\n", b"\nPONG\r\n"),
    (b"+OK\r\n", b"+OK\r\n"),
    (b"-ERR 'Slow Consumer'\r\n", b"-ERR 'Slow Consumer'\r\n"),
    (b'INFO {"a": 1}\r\n', b'INFO {"a": 1}\r\n'),
    (b"MSG  a.c\t1  4\r\nMSG \r\n", (b"a.c", b"MSG ")),
    (b"MSG a\x0bb.\x0c 1 1\r\nx\r\n", (b"a\x0bb.\x0c", b"x")),
    (b"MSG a\x85\x1c\xa0 1 r\x0b 1\r\nx\r\n", (b"a\x85\x1c\xa0", b"x", b"r\x0b", b"")),
    (b"HMSG h\x0b 1 \x0c 2 3\r\nabc\r\n", (b"h\x0b", b"c", b"\x0c", b"ab")),
]
#: Of a server that says nothing of what it takes.
LARGEST = LEAST_PAYLOAD_BYTES + HEADERS_BYTES
STREAM = b"".join(line for line, _ in LINES)
TOLD = [told for _, told in LINES if told is not None]


def parsed(chunks: list[bytes]) -> list[object]:
    told: list[object] = []
    direct: dict[bytes, Deliver] = {b"1": lambda *called_with: told.append(called_with)}
    parser = DirectParser(direct, told.append)
    for chunk in chunks:
        parser.feed(chunk)
    return told


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_every_split(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    assert parsed([STREAM[a:b] for a, b in pairwise(places)]) == TOLD


@given(st.lists(st.integers(0, 5 * len(STREAM)), max_size=8), st.integers(1, 2 * len(STREAM)))
def test_however_little_time_there_is(cuts: list[int], window: int) -> None:
    """What is left begins the next call, which may bring more."""
    stream = 5 * STREAM
    places = sorted({0, *cuts, len(stream)})
    told: list[object] = []
    parser = DirectParser({b"1": lambda *called_with: told.append(called_with)}, told.append)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "WINDOW_BYTES", window)
        for start, end in pairwise(places):
            before = len(told)
            left = parser.feed(stream[start:end], -math.inf)
            assert len(told) - before <= window, "at least that many bytes are a line"
        while left:
            left = parser.feed(b"", -math.inf)
    assert told == 5 * TOLD


def test_in_time_all_of_it() -> None:
    parser = DirectParser({}, lambda line: None)
    assert not parser.feed(b"PING\r\n" * 10_000, math.inf)
    assert parser.feed(b"PING\r\n" * 10_000, -math.inf)
    assert not parser.feed(b"", math.inf)
    assert not parser.feed(b"MSG a 1 100000\r\n" + bytes(99_999), -math.inf), "there is nothing to do but wait"
    assert not DirectParser({}, lambda line: None).feed(b"PI", -math.inf), "nor here"


def test_the_clock_is_looked_at_between_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(1)
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    told: list[bytes] = []
    parser = DirectParser({}, told.append)
    lines = b"PING\r\n" * WINDOW_BYTES  # 6 windows
    assert parser.feed(lines, 3.0)
    assert 3 * WINDOW_BYTES <= 6 * len(told) < 3 * (WINDOW_BYTES + 6)
    assert not parser.feed(b"", 100.0)
    assert len(told) == WINDOW_BYTES


def test_a_long_message_is_not_looked_at_before_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    message = module._message

    def look(header: bytes, most_bytes: int) -> tuple[bytes, bytes, bytes | None, int, int]:
        looked.append(header)
        return message(header, most_bytes)

    monkeypatch.setattr(module, "_message", look)
    told: list[object] = []
    parser = DirectParser({b"1": lambda *called_with: told.append(called_with[1])}, told.append)
    for _ in range(2):
        parser.feed(b"MSG a 1 100000\r\n")
        for _ in range(100):
            assert not parser.feed(bytes(1000), -math.inf), "nothing is left to do"
        assert len(looked) == 1
        parser.feed(b"\r\n")
        assert len(looked) == 2
        looked.clear()
    assert told == [bytes(100_000)] * 2


def test_byte_by_byte() -> None:
    assert parsed([bytes([byte]) for byte in STREAM]) == TOLD


def test_what_comes_behind_a_long_message_does_not_wait_for_as_much_again() -> None:
    told: list[object] = []
    parser = DirectParser({b"1": lambda *called_with: told.append(called_with[1])}, told.append)
    for chunk in (b"MSG a 1 100\r\n", b"x" * 60, b"x" * 40 + b"\r\n", b"PING\r\n", b"PO", b"NG\r\n"):
        parser.feed(chunk)
    assert told == [b"x" * 100, b"PING\r\n", b"PONG\r\n"]


def test_an_empty_line_holds_nothing_up() -> None:
    assert parsed([b"\r\n", b"PING\r\n"]) == [b"\r\n", b"PING\r\n"]


def test_a_line_may_be_long() -> None:
    assert parsed([b"x" * MAX_LINE_BYTES, b"\r\n"]) == [b"x" * MAX_LINE_BYTES + b"\r\n"]


def test_a_subscription_that_ends_in_the_middle() -> None:
    told: list[object] = []
    direct: dict[bytes, Deliver] = {}

    def once(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None:
        told.append(payload)
        del direct[b"1"]

    direct[b"1"] = once
    DirectParser(direct, told.append).feed(b"MSG a 1 1\r\nx\r\n" * 2 + b"PING\r\n")
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
        b"x" * (MAX_LINE_BYTES + 1) + b"\r\n",
        b"MSG %b 1 0\r\n\r\n" % (b"x" * MAX_LINE_BYTES),
        b"MSG a 1 %d\r\n" % (LARGEST + 1),
        b"HMSG a 1 12 %d\r\n" % (LARGEST + 1),
        b"MSG a 2 %d\r\n" % 10**15,
        b"HMSG a 1 12 %d\r\n" % 10**15,
        b"MSG a 1 1%s\r\n" % (b"0" * 5000),
    ],
)
def test_what_is_no_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parsed([line])


def test_the_largest_message_there_can_be() -> None:
    parsed([b"MSG a 1 %d\r\n" % LARGEST])


def test_what_was_allowed_stays_so() -> None:
    parser = DirectParser({}, lambda line: None)
    for allowed in (3 * LEAST_PAYLOAD_BYTES, LEAST_PAYLOAD_BYTES, 1):
        parser.allow(allowed)
    most = 3 * LEAST_PAYLOAD_BYTES + HEADERS_BYTES
    for start in range(0, most, 2**20):  # the message, and behind it one that is too long
        parser.feed(b"MSG a 1 %d\r\n" % most + bytes(2**20) if not start else bytes(min(2**20, most - start)))
    with pytest.raises(ProtocolError, match=f"a message of more than {most} bytes"):
        parser.feed(b"\r\nMSG a 1 %d\r\n" % (most + 1))


def test_one_that_takes_little_may_bring_what_others_took() -> None:
    parser = DirectParser({}, lambda line: None)
    parser.allow(1024)
    parser.feed(b"MSG a 1 %d\r\n" % LARGEST)


def test_a_fault_that_every_message_leads_to_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may publish to a subject that is no UTF-8."""
    got: list[Publication] = []
    parser = DirectParser({b"1": receiver(got.append, None)}, lambda line: None)
    parser.feed(b"MSG chat.\xff 1 0\r\n\r\n" * 1000 + b"MSG chat.a 1 0\r\n\r\n")
    assert [publication.subject for publication in got] == ["chat.a"]
    assert caplog.text.count("handling a message failed: UnicodeDecodeError, on b'chat.\\xff'") == 1


def test_a_line_may_end_it() -> None:
    def end(line: bytes) -> None:
        raise ProtocolError("enough")

    with pytest.raises(ProtocolError, match="enough"):
        DirectParser({}, end).feed(b"PING\r\n")

"""Bodies in chunks: the same bytes come out however they are cut, and what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.protocols.http1.chunked import MAX_CHUNKS, MAX_LINE_BYTES, BodyError, Chunked, TrailersTooLarge


class Reading:
    """A body fed piece by piece, as a connection does: what was not taken comes again."""

    def __init__(self, max_trailer_bytes: int = 1000, max_trailers: int = 5) -> None:
        self.chunked = Chunked(max_trailer_bytes, max_trailers)
        self.body = bytearray()
        self.kept = b""

    def feed(self, data: bytes) -> None:
        self.kept += data
        while not self.chunked.complete:
            at = self.chunked.take(self.kept, 0, self.body)
            self.kept = self.kept[at:]
            if self.chunked.hungry:
                break


def read(data: bytes, **limits: int) -> Reading:
    reading = Reading(**limits)
    reading.feed(data)
    return reading


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


@given(
    parts=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    extension=st.sampled_from([b"", b";a", b" ;a=b", b';a="b c"', b";\xe2"]),
    trailers=st.lists(st.sampled_from([b"a: b\r\n", b"x:\r\n"]), max_size=3),
    behind=st.binary(max_size=10),
    cuts=st.lists(st.integers(1, 20), max_size=60),
)
def test_the_same_however_it_is_cut(
    parts: list[bytes], extension: bytes, trailers: list[bytes], behind: bytes, cuts: list[int]
) -> None:
    data = b"".join([chunk(part, extension) for part in parts]) + b"0\r\n" + b"".join(trailers) + b"\r\n"
    whole = read(data + behind)
    assert whole.chunked.complete
    assert whole.body == b"".join(parts)
    assert whole.kept == behind
    cut, at = Reading(), 0
    for size in cuts:
        cut.feed(data[at : at + size])
        at += size
    cut.feed(data[at:])
    assert cut.chunked.complete
    assert cut.body == whole.body
    assert cut.kept == b""


def test_it_is_not_complete_before_its_end() -> None:
    data = chunk(b"abc") + b"0\r\na: b\r\n\r\n"
    for end in range(len(data)):
        assert not read(data[:end]).chunked.complete


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1\na\r\n",
        b"1;\x00\r\n",
        b"1;a\nb\r\n",
        b"1;a\rb\r\n",
        b" 1\r\n",
        b"1000000000000000\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\r",
        b"1\r\na\rb",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n a: folded\r\n\r\n",
        b"0\r\na : b\r\n\r\n",
        b"0\r\na: \x00\r\n\r\n",
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        read(data)
    assert str(caught.value).isprintable()


def test_a_size_line_is_bounded() -> None:
    longest = b"1;" + bytes(b"a" * (MAX_LINE_BYTES - 4)) + b"\r\n"
    assert read(longest + b"x\r\n").body == b"x"
    for data in (b"1;a" + longest[2:], b"1;" + b"a" * MAX_LINE_BYTES):
        with pytest.raises(BodyError):
            read(data)


@pytest.mark.parametrize("most", [1, 2])
def test_the_last_trailer_may_be_the_end_of_a_read(most: int) -> None:
    data = b"0\r\n" + b"a: b\r\n" * most + b"\r\n"
    for at in range(len(data)):
        reading = Reading(max_trailers=most, max_trailer_bytes=6 * most)
        reading.feed(data[:at])
        reading.feed(data[at:])
        assert reading.chunked.complete


def test_what_is_no_trailer_is_told_apart_from_what_is_too_long_by_its_own_line() -> None:
    with pytest.raises(BodyError):
        read(b"0\r\nno trailer\r\n" + b"x" * 2000)
    with pytest.raises(TrailersTooLarge):
        read(b"0\r\n" + b"x" * 2000 + b"\r\n")


def test_trailers_are_bounded_in_bytes_and_count() -> None:
    assert read(b"0\r\n" + b"a: b\r\n" * 5 + b"\r\n").chunked.complete
    with pytest.raises(TrailersTooLarge):
        read(b"0\r\n" + b"a: b\r\n" * 6 + b"\r\n")
    assert read(b"0\r\n" + b"a: b\r\n" * 2 + b"\r\n", max_trailer_bytes=12).chunked.complete
    with pytest.raises(TrailersTooLarge):
        read(b"0\r\n" + b"a: b\r\n" * 2 + b"\r\n", max_trailer_bytes=11)
    with pytest.raises(TrailersTooLarge):
        read(b"0\r\na: " + b"b" * 20, max_trailer_bytes=11)


def test_one_call_takes_so_many_chunks() -> None:
    chunked, body = Chunked(10, 1), bytearray()
    data = chunk(b"a") * (MAX_CHUNKS + 1)
    at = chunked.take(data, 0, body)
    assert not chunked.hungry
    assert at < len(data)
    chunked.take(data, at, body)
    assert chunked.hungry
    assert body == b"a" * (MAX_CHUNKS + 1)

"""NATS' header block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.broker.headers import MAX_BLOCK_BYTES, encode, parse
from wsgw.fanout.publication import NO_HEADERS, Headers


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (b"NATS/1.0\r\n\r\n", {}),
        (b"NATS/1.0\r\nA: b\r\n\r\n", {"A": ("b",)}),
        (b"NATS/1.0\r\nA:b\r\na: \t c d \t\r\nA:\r\n\r\n", {"A": ("b", ""), "a": ("c d",)}),
        (b"NATS/1.0\r\nx-!~: a:b\r\n\r\n", {"x-!~": ("a:b",)}),
        (b"NATS/1.0\r\nA: \xc3\xa9\xff\r\n\r\n", {"A": ("é�",)}),
    ],
)
def test_parse(block: bytes, fields: dict[str, tuple[str, ...]]) -> None:
    assert parse(block) == Headers(fields)


def test_names_keep_their_order() -> None:
    assert list(parse(b"NATS/1.0\r\nz: 1\r\na: 2\r\nz: 3\r\nm: 4\r\n\r\n")) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("block", "status", "description", "fields"),
    [
        (b"NATS/1.0 503\r\n\r\n", 503, "", {}),
        (b"NATS/1.0 503 No Responders\r\n\r\n", 503, "No Responders", {}),
        (b"NATS/1.0 503 No Responders \r\n\r\n", 503, "No Responders", {}),
        (b"NATS/1.0 503 \r\n\r\n", 503, "", {}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n",
            100,
            "Idle Heartbeat",
            {"Nats-Last-Consumer": ("7",)},
        ),
    ],
)
def test_status(block: bytes, status: int, description: str, fields: dict[str, tuple[str, ...]]) -> None:
    assert parse(block) == Headers(fields, status, description)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"NATS/1.0",
        b"NATS/1.0\r\n",
        b"NATS/1.0\r\nA: b",
        b"NATS/1.0\r\nA: b\r\n",
        b"NATS/2.0\r\nA: b\r\n\r\n",
        b"nats/1.0\r\nA: b\r\n\r\n",
        b"NATS/1.0 50\r\nA: b\r\n\r\n",
        b"NATS/1.0503\r\nA: b\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\n: c\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\nB : c\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\n folded: c\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\n\xc3\xa9: c\r\n\r\n",
        b"NATS/1.0\r\nA: b\nC: d\r\n\r\n",
        b"NATS/1.0\r\nA: b\rC: d\r\n\r\n",
        b"NATS/1.0\r\n\r\nA: b\r\n\r\n",
        b"NATS/1.0\r\nA: " + bytes(MAX_BLOCK_BYTES) + b"\r\n\r\n",
    ],
)
def test_a_broken_block_has_no_headers(block: bytes) -> None:
    assert parse(block) is NO_HEADERS


@given(st.binary(), st.lists(st.sampled_from([b"NATS/1.0", b" 503", b"\r\n", b"\r", b"A", b":", b" ", b"\xff"])))
def test_it_never_raises(anything: bytes, pieces: list[bytes]) -> None:
    parse(anything)
    parse(b"NATS/1.0\r\n" + anything + b"\r\n\r\n")
    parse(b"".join([b"NATS/1.0", *pieces, b"\r\n\r\n"]))


def test_encode() -> None:
    assert encode({}) == b"NATS/1.0\r\n\r\n"
    assert encode({"A": "bc", "d": ["e", "", "é"], "none": []}) == (
        b"NATS/1.0\r\nA: bc\r\nd: e\r\nd: \r\nd: \xc3\xa9\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r", "\n", "é", "a\0", "a\t", "x" * 200 + " "])
def test_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="name") as caught:
        encode({"ok": "x", name: "x"})
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("value", ["\r", "a\nB: c", "\ud800"])
def test_no_value(value: str) -> None:
    for values in (value, ["x", value]):
        with pytest.raises(ValueError):
            encode({"A": values})


def test_longest() -> None:
    room = MAX_BLOCK_BYTES - len(encode({"A": ""}))
    assert parse(encode({"A": "x" * room})) == Headers({"A": ("x" * room,)})
    with pytest.raises(ValueError, match="65537 bytes"):
        encode({"A": "x" * (room + 1)})


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1)
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(
    lambda text: text.strip(" \t")
)


@given(st.dictionaries(NAMES, st.lists(VALUES, min_size=1).map(tuple)))
def test_there_and_back(headers: dict[str, tuple[str, ...]]) -> None:
    assert parse(encode(headers)) == Headers(headers)


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"A", b"B: c", b":", b" ", b"\xff", b"\0"])))
def test_what_was_taken_apart_can_be_put_together(pieces: list[bytes]) -> None:
    headers = parse(b"".join([b"NATS/1.0\r\n", *pieces, b"\r\n\r\n"]))
    assert parse(encode(headers)) == headers

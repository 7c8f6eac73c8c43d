"""NATS' header block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.broker.headers import MAX_PARSED_BYTES, parse
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
        b"NATS/1.0\r\nA: " + bytes(MAX_PARSED_BYTES) + b"\r\n\r\n",
    ],
)
def test_a_broken_block_has_no_headers(block: bytes) -> None:
    assert parse(block) is NO_HEADERS


@given(st.binary(), st.lists(st.sampled_from([b"NATS/1.0", b" 503", b"\r\n", b"\r", b"A", b":", b" ", b"\xff"])))
def test_it_never_raises(anything: bytes, pieces: list[bytes]) -> None:
    parse(anything)
    parse(b"NATS/1.0\r\n" + anything + b"\r\n\r\n")
    parse(b"".join([b"NATS/1.0", *pieces, b"\r\n\r\n"]))

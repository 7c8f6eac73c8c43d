"""Positions in streams as text: there and back, and what is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.channels.position import MAX_LENGTH, MAX_STREAMS, encode, encode_one, identity, parse

identities = st.text("0123456789abcdef", min_size=10, max_size=10)
positions = st.dictionaries(identities, st.integers(0, 10**19 - 1), max_size=MAX_STREAMS)


@given(positions)
def test_there_and_back(position: dict[str, int]) -> None:
    text = encode(position)
    assert parse(text) == position
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", text)
    assert len(text) <= MAX_LENGTH


@given(st.text(max_size=60) | st.from_regex(r"1(\.[0-9a-f]{9,11}-\d{1,21}){0,3}", fullmatch=True))
def test_any_text_is_a_position_or_none(text: str) -> None:
    position = parse(text)
    assert position is None or encode(position) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2.0123456789-1",
        "1.0123456789-01",
        "1.0123456789--1",
        "1.0123456789-1.0123456789-2",
        "1.0123456789-\u0661",
        "1.0123456789-1\n",
        "1" + ".0123456789-1" * (MAX_STREAMS + 1),
        "1." + "a" * MAX_LENGTH,
    ],
)
def test_what_is_none(text: str) -> None:
    assert parse(text) is None


def test_an_identity_is_that_of_one_stream() -> None:
    one = identity("a", "S", "2026-01-01T00:00:00Z")
    others = {identity("b", "S", "2026-01-01T00:00:00Z"), identity("a", "T", "2026-01-01T00:00:00Z")}
    others.add(identity("a", "S", "2026-01-01T00:00:01Z"))
    assert len(others - {one}) == 3
    assert parse(encode({one: 5})) == {one: 5}
    assert encode_one(one, 5) == encode({one: 5})

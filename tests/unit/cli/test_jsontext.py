from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.cli import jsontext


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ("line1\nline2", '"line1\\nline2"'),
        ("é😀".encode(), '"é😀"'),
        (b"\xef\xbb\xbfx", '"\ufeffx"'),
        (b"\xff\x00", 'base64:"/wA="'),
        ("\ud800", '"\\ud800"'),
        ({"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'),
        (None, "null"),
    ],
)
def test_quoted(payload: object, shown: str) -> None:
    assert jsontext.quoted(payload) == shown


@given(st.text(alphabet=st.characters()) | st.binary())
def test_quoted_text_is_its_json_string_and_printable(payload: str | bytes) -> None:
    shown = jsontext.quoted(payload)
    shown.encode()
    if not shown.startswith("base64:"):
        assert json.loads(shown) == (payload if isinstance(payload, str) else payload.decode())


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{ "b" : 1,\r\n "a": [] }\n', '{ "b" : 1,  "a": [] }'),
        (b"text", '"text"'),
        (b"a\nb", '"a\\nb"'),
        (b"NaN", '"NaN"'),
        (b"", '""'),
        (b"\xff", 'base64:"/w=="'),
    ],
)
def test_one_line(payload: bytes, shown: str) -> None:
    assert jsontext.one_line(payload) == shown


@given(st.binary())
def test_one_line_is_one_line(payload: bytes) -> None:
    assert "\n" not in jsontext.one_line(payload)
    assert "\r" not in jsontext.one_line(payload)


def test_what_json_cannot_hold() -> None:
    loop: list[object] = []
    loop.append(loop)
    for value in (float("nan"), float("inf"), loop, object(), {(1, 2): 3}):
        with pytest.raises(ValueError, match=r"."):
            jsontext.compact(value)

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.config import yaml12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[yes, No, on, OFF, y, n]", ["yes", "No", "on", "OFF", "y", "n"]),
        ("[true, True, TRUE, false, False, FALSE]", [True, True, True, False, False, False]),
        ("[null, Null, NULL, ~, '', nULL]", [None, None, None, None, "", "nULL"]),
        ("[0o17, 010, 0x1F, +3, -3, 0b1, 1_000, 1:30, 0o8]", [15, 10, 31, 3, -3, "0b1", "1_000", "1:30", "0o8"]),
        (
            "[1.5, .5, 1., 1e3, -1E-2, .inf, -.INF, 1:30.5]",
            [1.5, 0.5, 1.0, 1000.0, -0.01, math.inf, -math.inf, "1:30.5"],
        ),
        ("[2026-01-01, 2026-01-01T00:00:00Z, =, <<]", ["2026-01-01", "2026-01-01T00:00:00Z", "=", "<<"]),
        ("a:\nb: !!str 5", {"a": None, "b": "5"}),
        ("{<<: {a: 1}, b: &x [1], c: *x}", {"<<": {"a": 1}, "b": [1], "c": [1]}),
        ("%YAML 1.1\n---\nyes", "yes"),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    assert yaml12.load(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("a: 1\na: 2", "[", "- a\n---\n- b", "? [a]\n: 1", "\x00", "&a [*b]"),
        *("!!binary aa", "!!timestamp 2026-01-01", "!!set {a}", "!x 1", "!!python/name:os.system"),
        *("!!int x", "!!float x", "!!map [a]", "!!seq a", "!!null [a]", "!!bool {a: b}", "1" * 5000),
        *("[" * 10_000, "- " * 10_000),
    ],
)
def test_errors(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        yaml12.load(text)


@given(st.text(alphabet="[]{}:,-&*!|>'\"%@`#?~ \n\tabx0.=<") | st.text())
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        yaml12.load(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017  it may also be a value


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(alphabet='aé\n"\\:#- 1'), st.lists, max_leaves=20)
)
def test_json_is_yaml(value: object) -> None:
    assert yaml12.load(json.dumps(value)) == value

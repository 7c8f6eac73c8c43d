"""JSON arguments: taken apart and put together without being changed."""

from __future__ import annotations

import gc
import json
import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.fanout.frames import Message
from wsgw.protocols.socketio import arguments
from wsgw.protocols.socketio.arguments import (
    MAX_ARGUMENTS,
    MAX_SCANNED_CHARS,
    SMALL_CHARS,
    Argument,
    ArgumentError,
    Attachment,
    Json,
    join,
    only,
    quote,
    split,
    split_binary,
)

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | UNICODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(UNICODE, inner, max_size=4),
    max_leaves=20,
)
RAW = ["1.0", "1e400", "-0", "9" * 5000, '{"b":1,"a":2,"b":3}', "[ 1 ,\t2 ]", "null", "true", '{"x":"\\ud800"}', "[]"]


@pytest.mark.parametrize("raw", RAW)
def test_values_stay_the_text_they_were(raw: str) -> None:
    assert split(f'["name",{raw}]') == ["name", Json(raw)]
    assert split(f' [ "name" \n,\t{raw} \r] '.strip()) == ["name", Json(raw)]
    assert split_binary(f'["name",{raw}]', 0) == ["name", Json(raw)]
    assert join(b'"name"', [Json(raw)], []) == f'["name",{raw}]'.encode()


def test_strings_are_decoded() -> None:
    assert split('["","a\\n\\u00e9","\\ud83d\\ude00","é"]') == ["", "a\né", "😀", "é"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]x", "[]]", '"a"', "[01]", "[1.]", "[+1]"),
        *('["a]', '["\x01"]', '["\\x"]', "['a']", "[NaN]", "[Infinity]", '[{"a":-Infinity}]', "[nul]", "[{a:1}]"),
        *("\ufeff[]", "[\xa01]", '[{"a":1,}]', "[//\n1]"),
    ],
)
def test_what_is_no_json_array_is_refused(text: str) -> None:
    for read in (split, lambda text: split_binary(text, 0)):
        with pytest.raises(ArgumentError):
            read(text)


def test_an_unpaired_surrogate_is_told_as_a_problem() -> None:
    (argument,) = split('["a\\ud800"]')
    assert isinstance(argument, Json)
    assert argument.raw == '"a\\ud800"'
    assert argument.problem is not None


@pytest.mark.parametrize("text", ['["n",' + "[" * 100_000, '["n",' + "[" * 100_000 + "]" * 100_001])
def test_deep_nesting_is_survived(text: str) -> None:
    for found in (split(text), split_binary(text, 0)):
        assert found[0] == "n"
        assert isinstance(found[1], Json)
        assert found[1].problem is not None


def test_placeholders_stand_for_attachments() -> None:
    text = '["n",{"_placeholder":true,"num":1},{"num":0,"_placeholder":true},1]'
    assert split_binary(text, 2) == ["n", Attachment(1), Attachment(0), Json("1")]
    assert split(text)[1] == Json('{"_placeholder":true,"num":1}')


def test_binary_inside_a_value_is_told_as_a_problem() -> None:
    raw = '{"file":{"_placeholder":true,"num":0}}'
    found = split_binary(f'["n",{raw},{{"a":1}}]', 1)
    assert isinstance(found[1], Json)
    assert found[1].raw == raw
    assert found[1].problem is not None
    assert found[2] == Json('{"a":1}')


@pytest.mark.parametrize("num", ["0.0", "0e0", "-0", "-0.0", "0.0e5", "0." + "0" * 5000])
def test_the_number_of_a_placeholder_may_be_written_as_a_fraction(num: str) -> None:
    """As encoders write it that know no other numbers than double ones (Gson)."""
    assert split_binary(f'[{{"_placeholder":true,"num":{num}}}]', 1) == [Attachment(0)]


@pytest.mark.parametrize(
    "num", ["1", "-1", "1.0", "0.5", "1e0", "-1.0", "1e400", "true", '"0"', "null", "9" * 5000, "[]"]
)
def test_a_placeholder_without_its_attachment_is_refused(num: str) -> None:
    with pytest.raises(ArgumentError):
        split_binary(f'["n",{{"_placeholder":true,"num":{num}}}]', 1)


def test_join_counts_attachments() -> None:
    attachments: list[Message] = []
    text = join(b"", ["a", b"\x01", Json("2"), b"\x02"], attachments)
    assert text == b'["a",{"_placeholder":true,"num":0},2,{"_placeholder":true,"num":1}]'
    assert attachments == [Message(False, b"\x01"), Message(False, b"\x02")]
    assert join(b"", [], []) == b"[]"


def test_quote_escapes_an_unpaired_surrogate() -> None:
    assert quote("é") == '"é"'.encode()
    assert quote("\ud800") == b'"\\ud800"'


@given(st.lists(VALUES, max_size=MAX_ARGUMENTS))
def test_split_finds_what_was_dumped(values: list[Any]) -> None:
    raws = [json.dumps(value, ensure_ascii=False) for value in values]
    expected: list[Argument] = [
        value if isinstance(value, str) else Json(raw) for value, raw in zip(values, raws, strict=True)
    ]
    text = "[" + ",".join(raws) + "]"
    assert split(text) == expected
    assert join(b"", split(text), []) == join(b"", expected, [])
    assert json.loads(join(b"", split(text), [])) == values


@given(st.text(st.sampled_from('[]{}",:0123456789eE+-.\\/ntrufalse_ \t\nNIaé\ud800' + string.ascii_letters[:6])))
def test_any_text_is_arguments_or_refused(text: str) -> None:
    for read in (split, lambda text: split_binary(text, 1)):
        try:
            found = read("[" + text)
        except ArgumentError:
            continue
        for argument in found:
            if isinstance(argument, Json) and argument.problem is None:
                json.loads(argument.raw)


def test_only_small_ones_are_looked_at_twice() -> None:
    """Whatever is behind its first value, a large text is scanned once, by ``split``."""
    for size in (SMALL_CHARS - 2, SMALL_CHARS - 1):
        text = '"' + "x" * (size - 1) + '"]'
        assert only(text, 0) == (text[1:-2] if len(text) <= SMALL_CHARS else None)


@pytest.mark.parametrize("size", [SMALL_CHARS, SMALL_CHARS + 1, MAX_SCANNED_CHARS])
@pytest.mark.parametrize("fails", [True, False])
def test_nothing_is_collected_while_a_large_value_is_built(
    size: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []
    argument = arguments.argument_of

    def looking(value: object, raw: str) -> Argument:
        enabled.append(gc.isenabled())
        if fails:
            raise ArgumentError("x")
        return argument(value, raw)

    monkeypatch.setattr(arguments, "argument_of", looking)
    text = '["' + "x" * (size - 4) + '"]'
    with suppress(ArgumentError):
        split(text)
    assert enabled == [size <= SMALL_CHARS]
    assert gc.isenabled()


@pytest.mark.parametrize("count", [MAX_ARGUMENTS - 1, MAX_ARGUMENTS, MAX_ARGUMENTS + 1, 1000])
def test_no_more_arguments_than_that_are_looked_for(count: int) -> None:
    text = "[" + ",".join(["1"] * count)
    assert len(split(text + "]")) == min(count, MAX_ARGUMENTS)
    assert len(split_binary(text + "]", 0)) == min(count, MAX_ARGUMENTS)
    if count > MAX_ARGUMENTS:
        assert split(text + " no JSON") == [Json("1")] * MAX_ARGUMENTS
    else:
        with pytest.raises(ArgumentError):
            split(text + " no JSON")

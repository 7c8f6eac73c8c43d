"""The arguments of long packets: a name, and one value that is decoded only where it is to be passed on."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.protocols.longtext import LongText
from wsgw.protocols.socketio import longarguments
from wsgw.protocols.socketio.arguments import Argument, ArgumentError, Json, Oversized, split
from wsgw.protocols.socketio.longarguments import NAME_BYTES

MOST_BYTES = 1024 * 1024
LONG = "x" * 64 * 1024
#: One character that makes all others of its str take four bytes.
WIDE = "😀"


def split_long(text: str, most_bytes: int = MOST_BYTES) -> list[Argument]:
    return longarguments.split_long(LongText(b"42" + text.encode(), 2), most_bytes)


def split_long_binary(text: str) -> list[Argument]:
    return longarguments.split_long_binary(LongText(text.encode(), 0))


@pytest.mark.parametrize("blank", ["", " \n", " " * 5000])
def test_a_value(blank: str) -> None:
    for raw in (f'{{"a":1.0,"é":"{LONG}"}}', f'["{LONG}", {{}}]', "1.0", "null", "[]"):
        assert split_long(f'["näme",{blank}{raw}{blank}]{blank}') == ["näme", Json(raw)]
    assert split_long(f'["name"{blank},{blank}"{LONG}\\n{WIDE}"{blank}]{blank}') == ["name", LONG + "\n" + WIDE]


@pytest.mark.parametrize("name", ['"näme"', '"a\\u0041"', "5", "-1.50", '"\\ud800"', '""'])
def test_a_name(name: str) -> None:
    for text in (f'[{name},"{LONG}"]', f"[ {name} ] "):
        assert split_long(text) == split(text)


@pytest.mark.parametrize(
    "name", [LONG, "\\u0041" * 1000, "\\\\u" * 2000, "é" * 2000 + WIDE, "\\ud83d\\ude00" * 1000, 'a\\"' * 1000]
)
def test_a_name_that_is_no_channels_is_cut(name: str) -> None:
    """Longer than any of them all the same."""
    for rest, expected in (("", []), (',{"a":1}', [Json('{"a":1}')])):
        cut, *args = split_long(f'["{name}"{rest}]')
        assert isinstance(cut, str)
        assert ('"' + name).startswith(cut)
        assert 1024 < len(cut.encode()) <= NAME_BYTES
        assert args == expected
    assert split_long("[" + "9" * 5000 + "]") == ["9" * NAME_BYTES]


def test_a_string_that_is_no_text() -> None:
    (_, argument) = split_long(f'["name","\\ud800{WIDE}{LONG}"]')
    assert isinstance(argument, Json)
    assert argument.problem == split('["\\ud800"]')[0].problem  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "rest",
    [
        *("{},{}", '"{}","b"', '"{}",', "[{}", "{}x", '{"a":{}}}', '"{}', '"{}\\x"', '"{}\\ud8"', '"'),
        *("1e999{}", "[" * 5000 + "{}", "NaN{}", ",{}", "", " "),
    ],
)
def test_what_is_not_one_value(rest: str) -> None:
    text = f'["name",{rest.replace("{}", LONG, 1)}'
    for end in ("", "]", "] \n"):
        name, argument = split_long(text + end)
        assert name == "name"
        assert isinstance(argument, Json)
        assert argument.problem == longarguments.NOT_ONE


@pytest.mark.parametrize(
    "raw", ["[" + LONG, f'"{LONG}"', f'"{WIDE}{LONG}', f'"{LONG}\\n"', '"' + "\\u0041" * 9000 + '"']
)
def test_one_that_is_too_large_is_not_looked_at(raw: str) -> None:
    (_, argument) = split_long(f'["name",{raw}]', 8191)
    assert isinstance(argument, Oversized)
    assert raw.startswith(argument.begin)
    assert len(argument.begin.encode()) > 1024
    assert 8192 <= argument.size_bytes <= len(raw.encode())


@pytest.mark.parametrize(
    "text", ["aé" + WIDE, 'a"\n\\\x01', "\\u" * 3, "\\" * 5 + "u", "\\\\\\u0041", "\ud7ff\u0800", "\x7f" * 9]
)
@pytest.mark.parametrize("ascii", [True, False])
def test_a_string_that_its_escapes_only_make_larger_is_taken(text: str, ascii: bool) -> None:
    text *= 1000
    raw = json.dumps(text, ensure_ascii=ascii)
    assert split_long(f'["name",{raw}]', len(text.encode())) == ["name", text]


@given(
    st.lists(
        st.sampled_from(
            ['\\"', "\\\\", "\\n", "\\u0041", "\\ud83d\\ude00", "\\uD83D", "\\ude00", "ud83d", "a", "é", "€", WIDE]
        )
        | st.sampled_from(['"', "\\", "\\x", "\\u00"]),
        max_size=30,
    ),
    st.integers(14, 40),
)
def test_a_string_is_the_same_in_pieces(parts: list[str], piece_bytes: int) -> None:
    raw = '"' + "".join(parts) + '"'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(longarguments, "_PIECE_BYTES", piece_bytes)
        data = raw.encode()
        whole = longarguments._string(data)
        pieces = longarguments._large_string(data, 0, len(data), 10**6)
    if isinstance(pieces, Oversized):
        assert "\\" not in raw
        assert pieces.size_bytes == len(data) - 2
    elif isinstance(pieces, str):
        assert pieces == whole
    else:
        assert isinstance(whole, Json)


@pytest.mark.parametrize(
    "text", ["[[{}]]", "[{}]", "{}", '["{}"', '["{}"x]', '["{}"]]', "[]{}", "[true,{}]", '["a"]{}', '["a"{}', "[", "[ "]
)
def test_what_is_no_array_with_a_name(text: str) -> None:
    for read in (split_long, split_long_binary):
        with pytest.raises(ArgumentError):
            read(text.replace("{}", LONG))


def test_beside_attachments() -> None:
    placeholder = '{"_placeholder":true,"num":0}'
    name, argument = split_long_binary(f'["name",{placeholder},"{LONG}"]')
    assert name == "name"
    assert argument == Json("", argument.problem)  # type: ignore[union-attr]
    assert argument.problem is not None
    assert split_long_binary(f'["{LONG[:1000]}"]') == [LONG[:1000]]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.text(), VALUES, st.booleans(), st.sampled_from(["", " ", "\r\n\t"]))
def test_it_finds_what_the_scan_of_short_ones_finds(name: str, value: object, ascii: bool, blank: str) -> None:
    try:
        text = blank.join(["[", json.dumps(name, ensure_ascii=ascii), ",", json.dumps(value, ensure_ascii=ascii), "]"])
        text.encode()
    except UnicodeEncodeError:
        return
    short, long = split(text), split_long(text)
    assert short[0] == long[0]
    if isinstance(short[1], Json) and short[1].problem is not None:
        assert long[1] == Json("", short[1].problem)
    elif "\\ud" not in text:  # orjson refuses a lone one inside of a value, too
        assert short[1] == long[1]


@pytest.mark.parametrize(
    "value",
    [
        '"x{}"',
        '"{}',
        "[{}]",
        '"' + "\\u0041" * 500_000 + '{}"',
        '"' + "\\ud800" * 500_000 + '{}"',
        '"' + "\\\\uxxx" * 500_000 + '{}"',
        '"\\ud83d\\ude00{}"',
    ],
)
def test_one_wide_character_costs_no_memory(value: str) -> None:
    """As str all of it would take four times as much."""
    size = 3 * 1024 * 1024
    value = value.replace("{}", WIDE + "x" * max(0, size - len(value)))
    for text in (f'["name",{value}]', f'["{"x" * NAME_BYTES}",{value}]', f"[{value}]"):
        data = LongText(text.encode(), 0)
        tracemalloc.start()
        try:
            longarguments.split_long(data, 512 * 1024)
        except ArgumentError:
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 3.5 * size, text[:40]


def test_nothing_is_collected_while_a_value_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled: list[bool] = []

    def value(*_: object) -> Argument:
        enabled.append(gc.isenabled())
        return ""

    monkeypatch.setattr(longarguments, "_value", value)
    assert split_long('["a",1]') == ["a", ""]
    assert enabled == [False]
    assert gc.isenabled()

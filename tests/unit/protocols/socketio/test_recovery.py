"""What clients that come back say: understood, bounded, and nothing of it believed that could hurt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.recovery import MAX_NAMES_LENGTH, Returning, names_text, new_pid, returning

A, B = "a" * 10, "b" * 10


def said(**auth: object) -> Returning | None:
    return returning(Json(json.dumps(auth)))


def test_who_was_never_here() -> None:
    assert returning(None) is None
    for auth in ("{}", '{"token":1}', '{"pid":null}', '{"pid":""}', '{"pid":5}', '{"offset":"1"}', "[]", "{", '"x"'):
        assert returning(Json(auth)) is None, auth


def test_without_an_event() -> None:
    pid = new_pid(f"1.{A}-5")
    assert said(pid=pid, token="mine") == Returning(pid, {A: 5})
    assert said(pid=pid, offset=None) == Returning(pid, {A: 5})
    assert new_pid("1") != new_pid("1")


def test_with_one() -> None:
    pid = new_pid(f"1.{A}-5.{B}-7")
    assert said(pid=pid, offset=f"1.{A}-6.{B}-7") == Returning(pid, {A: 6, B: 7})
    assert said(pid=pid, offset=f"1.{A}-3.{B}-9") == Returning(pid, {A: 5, B: 9}), "an offset of before the pid"
    assert said(pid=pid, offset=f"1.{A}-6") == Returning(pid, {A: 6}), "the other was left"


@pytest.mark.parametrize(
    ("pid", "offset"),
    [
        ("x", None),
        ("x~", None),
        ("x~2.new", None),
        ("x~1", "2.new"),
        ("x~1", 5),
        ("x~1", {"a": 1}),
        ("x~1", "1." + "9" * 4000),
        ("x~1", "1~not base64!"),
        ("x~1", "1~bnVsbA"),
        ("x~1", "1~W1tdXQ"),
        ("x~1", "1~W1sxXSxbXV0"),
        ("x~1", "1~" + "W" * 9),
    ],
)
def test_what_is_not_understood_is_nowhere(pid: str, offset: object) -> None:
    assert said(pid=pid, offset=offset) == Returning(pid, {})


def test_of_what_is_too_long_nothing_is_known() -> None:
    """It has been here, so something may be missing."""
    for found in (said(pid="x" * 5000), said(pid="x~1", more="y" * 70_000)):
        assert found is not None
        assert found[1:] == ({}, (), ())
        assert len(found.pid) < 5000
    assert said(more="y" * 70_000) is None
    names = names_text(["x" * MAX_NAMES_LENGTH], [])
    assert said(pid="x~1", offset=f"1{names}") == Returning("x~1", {})


def test_names() -> None:
    text = names_text(["room.7", "é"], ["plain"])
    pid = new_pid("1")
    assert said(pid=pid, offset=f"1.{A}-5{text}") == Returning(pid, {A: 5}, ("room.7", "é"), ("plain",))
    assert said(pid=new_pid(f"1{text}")) is not None
    assert names_text([], []) == ""
    assert set(text) <= set("~-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


@given(
    st.text(),
    st.one_of(st.none(), st.integers(), st.text(), st.from_regex(r"1(\.[0-9a-f]{10}-[0-9]{1,5}){0,3}(~\w*)?")),
)
def test_anything(pid: str, offset: object) -> None:
    found = said(pid=pid, offset=offset)
    assert found is None or found.pid == pid


@given(
    st.dictionaries(st.from_regex(r"[0-9a-f]{10}", fullmatch=True), st.integers(0, 2**63), max_size=8),
    st.lists(st.text(min_size=1), unique=True, max_size=5),
    st.lists(st.text(min_size=1), unique=True, max_size=5),
)
def test_what_is_given_comes_back(after: dict[str, int], joined: list[str], left: list[str]) -> None:
    from wsgw.channels.position import encode

    try:
        names = names_text(joined, left)
    except TypeError:  # no Unicode text, which no name of a channel is
        return
    pid = new_pid(encode(after) + names)
    assert said(pid=pid) == Returning(pid, after, tuple(joined), tuple(left))

"""Rights: what names and patterns of a claim allow, and what is no claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.rights import MAX_PATTERNS, NO_RIGHTS, Rights, rights_of
from wsgw.channels.channel import Use
from wsgw.channels.subjects import covers, matches, overlap

TOKENS = st.sampled_from(["a", "b", "*"])
PATTERNS = st.builds(
    lambda tokens, rest: ".".join([*tokens, *rest]),
    st.lists(TOKENS, min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)
SUBJECTS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.*", "a.>", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.*", True),
        ("a.>", "a.>", True),
        ("a.>", "a", False),
        (">", "a.>", True),
        (">", ">", True),
        ("*", ">", False),
        ("a.b", "a.*", False),
        ("*.b", "a.b", True),
        ("*.b", "*.*", False),
    ],
)
def test_covers(pattern: str, name: str, covered: bool) -> None:
    assert covers(pattern, name) is covered


@given(PATTERNS, PATTERNS, SUBJECTS)
def test_what_covers_has_all_that_the_other_has(pattern: str, name: str, subject: str) -> None:
    if covers(pattern, name):
        assert overlap(pattern, name)
        assert matches(pattern, subject) or not matches(name, subject)


def test_what_is_not_listed_is_not_allowed() -> None:
    rights = rights_of({"subscribe": ["orders", "chat.*"]})
    assert rights.allow(Use.SUBSCRIBE, "orders")
    assert rights.allow(Use.SUBSCRIBE, "chat.1")
    assert rights.allow(Use.SUBSCRIBE, "chat.*")
    for name in ("chat.>", "chat", "chat.1.2", "order", ">"):
        assert not rights.allow(Use.SUBSCRIBE, name)
    for use in (Use.PUBLISH, Use.REQUEST):
        assert not rights.allow(use, "orders")
        assert not NO_RIGHTS.allow(use, "orders")


def test_deny_wins() -> None:
    rights = rights_of({"publish": ["chat.*", "b"], "subscribe": ["chat.*"], "deny": {"publish": ["chat.secret", "b"]}})
    assert rights.allow(Use.PUBLISH, "chat.1")
    assert not rights.allow(Use.PUBLISH, "chat.secret")
    assert not rights.allow(Use.PUBLISH, "b")
    assert not rights.allow(Use.PUBLISH, "chat.*")  # some of which is denied
    assert rights.allow(Use.SUBSCRIBE, "chat.secret")


def test_two_together() -> None:
    one, other = rights_of({"publish": ["a", "b"]}), rights_of({"publish": ["c"], "deny": {"publish": ["b"]}})
    both = one | other
    assert [name for name in "abcd" if both.allow(Use.PUBLISH, name)] == ["a", "c"]
    assert both == rights_of(both.as_json())
    assert both != one


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is not a mapping"),
        (["a"], "is not a mapping"),
        ({"subscribe": "a"}, "subscribe: is not a list"),
        ({"subscribe": [1]}, r"subscribe\[0\]: is not a channel name"),
        ({"publish": ["a", "b..c"]}, r"publish\[1\]: 'b..c' has an empty token"),
        ({"publish": ["a\r\nPUB b 1"]}, r"publish\[0\]: .* control character"),
        ({"subscripe": []}, "unknown key 'subscripe'"),
        ({"deny": ["a"]}, "deny: is not a mapping"),
        ({"deny": {"read": []}}, "deny: is not a mapping"),
        ({"deny": {"request": [None]}}, r"deny.request\[0\]"),
        ({"subscribe": [f"a{i}" for i in range(MAX_PATTERNS + 1)]}, "has 1001 names"),
    ],
)
def test_what_is_no_claim(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rights_of(value)


def test_equal_to_nothing_else() -> None:
    assert Rights({}) != {}

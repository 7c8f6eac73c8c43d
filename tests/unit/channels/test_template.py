"""Subjects that claims fill: always one token for one placeholder, or nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.channels.subjects import covers, subject_problem
from wsgw.channels.template import (
    MAX_VALUE_BYTES,
    Template,
    claim,
    key_of,
    name_in,
    template_of,
    values_of,
)

#: What docs/configuration.md says, for Go, Node and Python.
VECTORS = [
    ("alice", "alice", "YWxpY2U", "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"),
    (
        "ann.lee+x@example.com",
        None,
        "YW5uLmxlZSt4QGV4YW1wbGUuY29t",
        "eed34b2afb69f46f380ddc0b104e8d7f3cc7c01d86cd177166b8541d9ab0cbc8",
    ),
    (
        "https://id.example/~7?a=ÿ>~",
        None,
        "aHR0cHM6Ly9pZC5leGFtcGxlL343P2E9w78-fg",
        "0f3b694fa8b966730cfda6c02f5bebde7c126624f20d47397ab565fd4a78c9c0",
    ),
]


def template(text: str) -> Template:
    made = template_of(text)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "subject", "placeholders"),
    [
        ("users.{sub}.inbox", "users.*.inbox", [(1, "sub", None)]),
        ("t.{tenant}.room.*", "t.*.room.*", [(1, "tenant", None)]),
        ("a.{org.id}.{sub|sha256}.>", "a.*.*.>", [(1, "org.id", None), (2, "sub", "sha256")]),
        ("a.{https://id.example/tenant|base64url}", "a.*", [(1, "https://id.example/tenant", "base64url")]),
    ],
)
def test_what_is_one(text: str, subject: str, placeholders: list[tuple[int, str, str | None]]) -> None:
    made = template(text)
    assert (made.text, made.subject) == (text, subject)
    assert [(each.index, each.path, each.encoding) for each in made.placeholders] == placeholders
    assert subject_problem(made.subject, wildcards=True) is None


def test_what_is_none() -> None:
    assert template_of("users.*.inbox.>") is None


@pytest.mark.parametrize(
    "text",
    [
        *("a.x{sub}", "a.{sub}x", "a.{}", "a.{", "a.}", "a.{sub|}", "a.{sub|md5}", "a.{{sub}}", "a.{a}{b}", "a.{a b}"),
        *("a.{sub|sha256|base64url}", "a.{a.b", "a.b}"),
    ],
)
def test_what_means_one_and_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"placeholder|behind the"):
        template_of(text)


@pytest.mark.parametrize(("value", "plain", "base64url", "sha256"), VECTORS)
def test_the_vectors(value: str, plain: str | None, base64url: str, sha256: str) -> None:
    claims = {"sub": value}
    assert template("u.{sub|base64url}").values(claims) == (base64url,)
    assert template("u.{sub|sha256}").values(claims) == (sha256,)
    if plain is None:
        with pytest.raises(ValueError, match="'sub' is not one token"):
            template("u.{sub}").values(claims)
    else:
        assert template("u.{sub}").values(claims) == (plain,)


#: What must not fill a placeholder; with an encoding only some of it must not.
NO_TOKENS = [
    ">",
    "*",
    "a.b",
    ".",
    "a>",
    "*a",
    " ",
    "a b",
    "\t",
    "\r\nPUB x 0\r\n\r\n",
    "a\0b",
    "\u2028",
    "\u00a0",
    "\x7f",
]
NOTHING: list[Any] = ["", "\ud800", "x" * (MAX_VALUE_BYTES + 1), "ü" * MAX_VALUE_BYTES, "x" * 2_000_000]
NO_TEXT: list[Any] = [None, 1, 1.5, True, ["a"], {"a": "b"}, b"a"]


@pytest.mark.parametrize("value", NO_TOKENS)
def test_values_that_are_no_token(value: str) -> None:
    with pytest.raises(ValueError, match="the claim 'sub'") as caught:
        template("u.{sub}").values({"sub": value})
    assert value not in str(caught.value).removeprefix("the claim 'sub' is not one token of a subject") or value == " "
    for encoding in ("base64url", "sha256"):
        (token,) = template(f"u.{{sub|{encoding}}}").values({"sub": value})
        assert subject_problem(token, wildcards=False) is None
        assert "." not in token


@pytest.mark.parametrize("value", NOTHING + NO_TEXT)
@pytest.mark.parametrize("text", ["u.{sub}", "u.{sub|base64url}", "u.{sub|sha256}"])
def test_values_that_are_nothing(text: str, value: object) -> None:
    with pytest.raises(ValueError, match="claim 'sub'") as caught:
        template(text).values({"sub": value})
    assert len(str(caught.value)) < 100


def test_paths() -> None:
    claims = {"org": {"id": "acme", "a.b": 1}, "org.id": "first", "https://id.example/t": "x"}
    assert claim(claims, "org.id") == "first"
    assert claim({"org": {"id": "acme"}}, "org.id") == "acme"
    assert claim(claims, "https://id.example/t") == "x"
    assert claim(claims, "org.id.x") is None
    assert claim({"org": "acme"}, "org.id") is None
    assert claim({}, "org") is None
    assert template("t.{org.id}").values({"org": {"id": "acme"}}) == ("acme",)
    with pytest.raises(ValueError, match=r"there is no claim 'org\.id'"):
        template("t.{org.id}").values({"org": {}})


def test_filled_and_back() -> None:
    made = template("t.{tenant}.room.*.{sub}")
    assert made.wildcards == ["*"]
    assert made.filled(["acme", "ann"]) == "t.acme.room.*.ann"
    assert made.values_in("t.acme.room.x.ann") == ("acme", "ann")


def test_keys() -> None:
    assert key_of("room.*") == "room.*"
    key = key_of("room.*", ("acme", "ann"))
    assert name_in(key) == "room.*"
    assert values_of(key) == ["acme", "ann"]
    assert name_in("room.*") == "room.*"
    assert values_of("room.*") == []
    assert key_of("a", ("b", "c")) != key_of("a", ("bc",))


def reference(value: str, encoding: str | None) -> str:
    """As a back-end makes it."""
    if encoding == "sha256":
        return hashlib.sha256(value.encode()).hexdigest()
    if encoding == "base64url":
        return base64.urlsafe_b64encode(value.encode()).decode().replace("=", "")
    return value


@given(
    st.one_of(
        st.text(), st.text("ab.*> \r\n\0", max_size=5), st.characters(), st.integers(), st.none(), st.lists(st.text())
    ),
    st.sampled_from([None, "base64url", "sha256"]),
    st.sampled_from(["t.{x}.in", "t.{x}.room.*", "t.{x}.>", "t.a.{x}", "t.{x}.{x}"]),
)
def test_one_token_or_refused(value: object, encoding: str | None, text: str) -> None:
    made = template(text.replace("{x}", "{x}" if encoding is None else f"{{x|{encoding}}}"))
    try:
        values = made.values({"x": value})
    except ValueError:
        return
    subject = made.filled(values)
    assert isinstance(value, str)
    assert values == (reference(value, encoding),) * len(values)
    assert subject_problem(subject, wildcards=True) is None
    assert covers(made.subject, subject)
    assert len(subject.split(".")) == len(text.split("."))
    assert [token for token in subject.split(".") if token in ("*", ">")] == made.wildcards
    assert made.values_in(subject) == values
    assert values_of(key_of("n", values)) == [*values]


json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "a.b"]), inner)),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "a.b"]), json), st.sampled_from(["a", "a.b", "b.a.b", "a.a.b.a"]))
def test_any_claims_at_any_path(claims: dict[str, Any], path: str) -> None:
    try:
        (value,) = template(f"t.{{{path}}}.x").values(claims)
    except ValueError:
        return
    assert value == claim(claims, path)
    assert subject_problem(value, wildcards=False) is None
    assert "." not in value

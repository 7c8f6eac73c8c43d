"""Subjects and patterns to draw from, all of the small ones, and NATS' rules said once more, plainly."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import strategies as st

from wsgw.channels.subjects import subject_problem

WORDS = ["a", "b", "ab"]
token = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=".*>"), min_size=1, max_size=6)
concrete = st.lists(token, min_size=1, max_size=5).map(".".join)
name_token = st.one_of(st.sampled_from([*WORDS, "*"]), token)

#: Every name, with and without wildcards, of up to three short tokens.
SMALL_NAMES = [
    name
    for size in (1, 2, 3)
    for name in map(".".join, product(["a", "b", "*", ">"], repeat=size))
    if subject_problem(name, wildcards=True) is None
]
#: What they match: one token longer, so that any two that have subjects in common have one here.
SMALL_SUBJECTS = [".".join(tokens) for size in (1, 2, 3, 4) for tokens in product("ab", repeat=size)]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A subject with wildcards, valid and beginning with a fixed token."""
    tokens = [draw(st.sampled_from(WORDS)), *draw(st.lists(name_token, max_size=3)), draw(st.sampled_from(["*", ">"]))]
    return ".".join(tokens)


@st.composite
def subjects_of(draw: st.DrawFn, pattern: str) -> str:
    """A subject that matches ``pattern``."""
    out = []
    for part in pattern.split("."):
        if part == ">":
            out += draw(st.lists(token, min_size=1, max_size=3))
        else:
            out.append(draw(token) if part == "*" else part)
    return ".".join(out)


@st.composite
def patterns_of(draw: st.DrawFn, subject: str) -> str:
    """``subject`` itself, or a pattern that it matches."""
    tokens = [draw(st.sampled_from([part, "*"])) for part in subject.split(".")]
    cut = draw(st.integers(0, len(tokens)))
    return ".".join(tokens if cut == len(tokens) else [*tokens[:cut], ">"])


def reference(pattern: str, subject: str) -> bool:
    """Whether ``subject`` matches ``pattern``."""
    parts = [{"*": "[^.]+", ">": ".+"}.get(part, re.escape(part)) for part in pattern.split(".")]
    return re.fullmatch(r"\.".join(parts), subject) is not None


def more_specific(one: str, other: str) -> bool:
    """Whether ``one`` goes before ``other``, which has a subject in common with it: exact before ``*`` before ``>``."""
    for mine, theirs in zip(one.split("."), other.split("."), strict=False):
        if mine == theirs:
            continue
        if theirs == ">":
            return True
        if mine == ">":
            return False
        return theirs == "*"  # then this is a word: they have a subject in common
    return False

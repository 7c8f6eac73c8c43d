"""Subjects by NATS' rules: tokens separated by ``.``; in patterns ``*`` is one token, a last ``>`` one or more.

Source: docs.nats.io, "Subject-Based Messaging".
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_SUBJECT_BYTES = 1024
#: The tokens that stand for others.
WILDCARDS = ("*", ">")


def is_pattern(name: str) -> bool:
    """Whether ``name`` has a wildcard token."""
    return any(token in WILDCARDS for token in name.split("."))


def matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` (without wildcards) matches ``pattern``, by NATS' rules."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, token in enumerate(wanted):
        if token == ">":
            return len(given) > i
        if i >= len(given) or token not in ("*", given[i]):
            return False
    return len(wanted) == len(given)


def covers(pattern: str, name: str) -> bool:
    """Whether every subject that matches ``name`` (a subject or a pattern) matches ``pattern``, too."""
    return _covers(pattern.split("."), name.split("."))


def overlap(one: str, other: str) -> bool:
    """Whether there are subjects that match both; each may be a pattern or a subject."""
    return _overlap(one.split("."), other.split("."))


def any_covers(patterns: Iterable[str], name: str) -> bool:
    """Whether one of ``patterns`` covers ``name``: of very many, most are seen at their beginning to be others'."""
    given = name.split(".")
    near = (given[0], *WILDCARDS)
    return any(_covers(pattern.split("."), given) for pattern in patterns if pattern.startswith(near))


def any_overlaps(patterns: Iterable[str], name: str) -> bool:
    """Whether one of ``patterns`` overlaps ``name``; as ``any_covers``."""
    given = name.split(".")
    near = "" if given[0] in WILDCARDS else (given[0], *WILDCARDS)
    return any(_overlap(pattern.split("."), given) for pattern in patterns if pattern.startswith(near))


def _covers(wanted: list[str], given: list[str]) -> bool:
    for i, token in enumerate(wanted):
        if token == ">":
            return len(given) > i
        if i >= len(given) or given[i] == ">" or token not in ("*", given[i]):
            return False
    return len(wanted) == len(given)


def _overlap(a: list[str], b: list[str]) -> bool:
    for left, right in zip(a, b, strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(a) == len(b)


def specificity(name: str) -> tuple[int, ...]:
    """A sort key: of two names that match the same subject, the more specific one has the smaller key.

    Token by token from the left: a word comes before ``*``, ``*`` before ``>``; the first difference decides. Two
    different patterns that match one subject always differ.
    """
    return tuple(WILDCARDS.index(token) + 1 if token in WILDCARDS else 0 for token in name.split("."))


def wildcards(subject: str) -> list[str]:
    """The wildcard tokens of ``subject``, in order."""
    return [token for token in subject.split(".") if token in WILDCARDS]


def refill(pattern: str, subject: str, target: str) -> str:
    """``target`` with its wildcards filled by what those of ``pattern`` match in ``subject``."""
    given = subject.split(".")
    found: list[list[str]] = []
    for i, token in enumerate(pattern.split(".")):
        if token == "*":
            found.append([given[i]])
        elif token == ">":
            found.append(given[i:])
    out: list[str] = []
    for token in target.split("."):
        out.extend(found.pop(0) if token in WILDCARDS else [token])
    return ".".join(out)


def subject_problem(subject: str, *, wildcards: bool) -> str | None:
    """Why ``subject`` is not a subject that NATS delivers, or None. nats-py and the server do not tell all of these."""
    if not subject:
        return "is empty"
    if len(subject.encode("utf-8", "surrogatepass")) > MAX_SUBJECT_BYTES:
        return f"is longer than {MAX_SUBJECT_BYTES} bytes"
    if not subject.isprintable() or " " in subject:  # no other blank is printable
        bad = next(ch for ch in subject if ch == " " or not ch.isprintable())
        return f"has a blank or control character ({bad!r})"
    tokens = subject.split(".")
    for i, token in enumerate(tokens):
        if not token:
            return "has an empty token (a dot at an end, or two in a row)"
        if token in WILDCARDS:
            if not wildcards:
                return f"has the wildcard {token!r}; a concrete name is needed"
            if token == ">" and i != len(tokens) - 1:
                return "has '>' before its last token"
        elif "*" in token or ">" in token:
            return f"has a wildcard inside the token {token!r}; wildcards are whole tokens"
    return None

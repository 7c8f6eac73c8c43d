"""Subjects that are filled from a client's claims: ``users.{sub}.inbox``, ``t.{tenant}.room.*``.

A *placeholder* is a whole token: ``{claim}``, ``{claim|base64url}`` or ``{claim|sha256}``. What fills it is one token
always, so that no client gets a subject that is wider than, or beside, what is configured.

The *key* of a name stands for it within the gateway: it is the name itself, but for channels with placeholders, where
the values that fill them follow, each behind a NUL, which no name can have. So clients with other values have nothing
in common, and those with the same share what there is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wsgw.channels.subjects import WILDCARDS

#: Of a claim's value, as UTF-8.
MAX_VALUE_BYTES = 1024
_NUL = "\0"
#: A dot that is in no placeholder: claims may have dots in their paths.
_DOT = re.compile(r"\.(?![^{}]*\})")
_PLACEHOLDER = re.compile(r"\{([^{}|\s]+)(?:\|([^{}|\s]*))?\}")

#: By what is said behind the ``|``.
ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "base64url": lambda value: base64.urlsafe_b64encode(value).decode().rstrip("="),
    "sha256": lambda value: hashlib.sha256(value).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The token number ``index``, from 0: the claim at ``path``, by the ``encoding`` of that name, or as it is."""

    index: int
    path: str
    encoding: str | None = None

    def fill(self, claims: Mapping[str, object]) -> str:
        """The token; raises ValueError, which names the claim, and not what it is."""
        value = claim(claims, self.path)
        if value is None:
            raise ValueError(f"there is no claim {self.path!r}")
        if not isinstance(value, str):
            raise ValueError(f"the claim {self.path!r} is no text")  # noqa: TRY004  bad input, not a fault
        try:
            data = value.encode() if len(value) <= MAX_VALUE_BYTES else b""
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say
            data = b""
        if not data or len(data) > MAX_VALUE_BYTES:
            raise ValueError(f"the claim {self.path!r} is empty, longer than {MAX_VALUE_BYTES} bytes, or no Unicode")
        if self.encoding is not None:
            return ENCODINGS[self.encoding](data)
        if not value.isprintable() or any(character in " .*>" for character in value):  # no other blank is printable
            raise ValueError(f"the claim {self.path!r} is not one token of a subject")
        return value


@dataclass(frozen=True, slots=True)
class Template:
    """``text`` as configured, ``subject`` with a ``*`` in the place of each of its ``placeholders``."""

    text: str
    subject: str
    placeholders: tuple[Placeholder, ...]

    @property
    def wildcards(self) -> list[str]:
        """The wildcard tokens of ``text``, in order."""
        return [token for token in _DOT.split(self.text) if token in WILDCARDS]

    def values(self, claims: Mapping[str, object]) -> tuple[str, ...]:
        """What fills the placeholders, in order; raises ValueError, as ``Placeholder.fill``."""
        return tuple([placeholder.fill(claims) for placeholder in self.placeholders])

    def filled(self, values: Sequence[str]) -> str:
        """The subject with ``values``; the wildcards of ``text`` are there still."""
        tokens = self.subject.split(".")
        for placeholder, value in zip(self.placeholders, values, strict=True):
            tokens[placeholder.index] = value
        return ".".join(tokens)

    def values_in(self, subject: str) -> tuple[str, ...]:
        """What stands in ``subject``, which matches this one's, for the placeholders."""
        tokens = subject.split(".")
        return tuple([tokens[placeholder.index] for placeholder in self.placeholders])


def template_of(text: str) -> Template | None:
    """The template that ``text`` is; None where it has no placeholder; raises ValueError where it means one."""
    if "{" not in text and "}" not in text:
        return None
    tokens = _DOT.split(text)
    placeholders = []
    for index, token in enumerate(tokens):
        if "{" not in token and "}" not in token:
            continue
        match = _PLACEHOLDER.fullmatch(token)
        if match is None:
            raise ValueError(f"has {token!r}; a placeholder is a whole token such as {{sub}} or {{sub|sha256}}")
        path, encoding = match.groups()
        if encoding is not None and encoding not in ENCODINGS:
            raise ValueError(f"has {token!r}; what can be behind the | is {' or '.join(ENCODINGS)}")
        placeholders.append(Placeholder(index, path, encoding))
        tokens[index] = "*"
    return Template(text, ".".join(tokens), tuple(placeholders))


def claim(claims: Mapping[str, object], path: str, default: object = None) -> object:
    """The claim of that name, else the one that ``path`` leads to by its dots (``org.id``); ``default`` without one."""
    if path in claims:  # names that are URLs have dots
        return claims[path]
    found: object = claims
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return default
        found = found[name]
    return found


def key_of(name: str, values: Sequence[str] = ()) -> str:
    """The key of ``name`` with ``values``."""
    return _NUL.join((name, *values)) if values else name


def name_in(key: str) -> str:
    """The name that ``key`` is of."""
    return key.partition(_NUL)[0]


def values_of(key: str) -> list[str]:
    """The values in ``key``."""
    return key.split(_NUL)[1:]


def id_prefix(key: str) -> str:
    """What goes before ids of messages to ``key``, or nothing: those of clients with other claims are others then."""
    _, _, values = key.partition(_NUL)
    return f"{hashlib.sha256(values.encode()).hexdigest()[:32]}:" if values else ""

"""Origins of pages (RFC 6454; the header Origin of the Fetch standard), and which the configuration allows."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from wsgw.config.hosts import WILDCARD, pattern_of, split_port

#: Pages of the gateway's own host and port.
SAME = "same"
#: Pages of everybody.
ANY = "any"
#: What sandboxed frames, files and redirected requests say; whose they are cannot be known.
NULL = "null"
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,63}")
_PORT = re.compile(r"(.*):([0-9]{1,5})")


class Origin(NamedTuple):
    """``host`` in its normal form, of an entry of the configuration maybe a pattern; the scheme's port where not said,
    None where the scheme has none.
    """

    scheme: str
    host: str
    port: int | None


def origin_of(text: str) -> Origin:
    """What a page's browser says; raises ValueError where that is none, or ``null``."""
    scheme, rest = _scheme(text)
    host, port = split_port(rest)
    return Origin(scheme, host, DEFAULT_PORTS.get(scheme) if port is None else port)


def entry_of(text: str) -> Origin:
    """An entry of the configuration; raises ValueError with the reason, to be read behind the entry."""
    if text.lower() == NULL:
        raise ValueError(f"is what pages of anybody can be made to say; it passes with 'origins: {ANY}' only")
    try:
        scheme, rest = _scheme(text)
    except ValueError:
        raise ValueError("is not an origin such as https://app.example or https://*.app.example:8443") from None
    if "@" in rest or any(mark in rest for mark in "/?#"):
        raise ValueError("has more than scheme, host and port")
    if rest == "*":
        raise ValueError(f"is every page of {scheme}, which can be had as 'origins: {ANY}' only")
    if rest.endswith(":*"):
        raise ValueError("has a * for the port; a * stands for labels of a host's name only")
    match = None if rest.endswith("]") else _PORT.fullmatch(rest)
    host, port = (match[1], int(match[2])) if match else (rest, DEFAULT_PORTS.get(scheme))
    if port is not None and not 0 < port < 65536:
        raise ValueError("has no port in it that there is")
    return Origin(scheme, pattern_of(host), port)


def is_pattern(origin: Origin) -> bool:
    """Whether an entry stands for more than one origin."""
    return origin.host.startswith(WILDCARD)


def cookie_problem(origins: str | list[str], key: str | None) -> str | None:
    """Why ``origins`` do not go with cookies by which clients are known, as ``key`` says (None: they are not).

    Browsers send cookies along with what any page asks for: it would act as whoever looks at it.
    """
    if key is not None and origins == ANY:
        return (
            f"{ANY!r} does not go with {key}: a page of anybody could act as whoever looks at it; "
            f"name the origins, or {SAME!r}"
        )
    return None


def _scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator or _SCHEME.fullmatch(scheme.lower()) is None or not rest:
        raise ValueError("is not an origin")
    return scheme.lower(), rest


def _origins(value: object) -> object:
    if value in (SAME, ANY):
        return value
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list | tuple):
        raise ValueError(f"{SAME}, {ANY} or a list of origins is expected here")  # noqa: TRY004  pydantic's way
    return [_entry(each) for each in entries]


def _entry(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.64} is not an origin such as https://app.example")  # noqa: TRY004
    if value == ANY:
        raise ValueError(f"{ANY!r} is no origin; it stands alone: 'origins: {ANY}'")
    if value != SAME:
        try:
            entry_of(value)
        except ValueError as error:
            raise ValueError(f"{value[:64]!r} {error}") from None
    return value


Origins = Annotated[str | list[str], BeforeValidator(_origins)]

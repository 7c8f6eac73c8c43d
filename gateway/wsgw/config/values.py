"""Values of settings that several sections have, and what sections are."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: RFC 9110 section 5.6.2: names of headers, of cookies, and of ours for query parameters.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: object) -> float:
    """``2``, ``"2s"``, ``"500ms"``, ``"24h"`` in seconds; raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a duration such as 500ms, 2s or 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def number(value: object) -> object:
    """``value``, unless it is ``true`` or ``false``: numbers, to Python; raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")  # noqa: TRY004  pydantic tells no other of a value
    return value


def said(value: object) -> object:
    """What is behind a key that checks something: nothing there is a mistake, not a wish for no check."""
    if value is None:
        raise ValueError("a value is expected here; leave the key out where nothing is to be checked")
    return value


def section(otherwise: str) -> BeforeValidator:
    """For keys that have others below them: nothing there is a mistake. ``otherwise`` is what to do to have none."""

    def check(value: object) -> object:
        if value is None:  # what was in it is commented out, maybe
            raise ValueError(f"keys are expected here; {otherwise}")
        return value

    return BeforeValidator(check)


def url(value: str) -> str:
    """``value``, where it is an URL of HTTP without user and password; raises ValueError."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("is not a URL such as http://HOST:PORT/PATH")
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it, which is not used")
    return value


def is_token(value: str) -> bool:
    """Whether HTTP takes ``value`` for the name of a header, or of a cookie."""
    return _TOKEN.fullmatch(value) is not None


Url = Annotated[str, AfterValidator(url)]
Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=86400 * 366)]
#: May be none at all.
Delay = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=3600)]


class Model(BaseModel):
    """A section of the settings: no keys but its own, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

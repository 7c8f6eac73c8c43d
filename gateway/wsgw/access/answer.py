"""What one shows who decides on clients, and what that answers: JSON, the same over HTTP and over NATS."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import orjson

from wsgw.access.identity import MAX_USER_CHARS, Identity, is_user
from wsgw.access.rights import Rights, rights_of
from wsgw.errors import Kind

MAX_BODY_BYTES = 64 * 1024
MOST_SECONDS = 366 * 86400.0
#: How long an answer is good for others that show the same: nearly as long as it says, so that nobody gets a session
#: that ends at once; where it says nothing; and never longer.
KEPT_SHARE = 0.9
KEPT_SECONDS = 60.0
MOST_KEPT_SECONDS = 3600.0


class Shown(NamedTuple):
    """What is told of a client: ``headers`` by lower-case name, and its address, empty where that is not known."""

    headers: tuple[tuple[str, str], ...]
    client: str

    @property
    def key(self) -> bytes:
        """Two that show the same have the same, and nobody else; what they show cannot be read from it."""
        return hashlib.sha256(orjson.dumps((self.headers, self.client))).digest()


class Refusal(NamedTuple):
    """Why a client is refused."""

    kind: Kind
    message: str


class Unanswered(Exception):
    """Who decides did not say anything that can be used; the text says what is wrong, for the operator."""


class Deciding(Protocol):
    """Who decides on clients."""

    def start(self) -> None:
        """Begin; needs a running loop."""

    async def close(self) -> None:
        """End its connections."""

    async def ask(self, shown: Shown) -> bytes | Refusal:
        """The answer, as it came, within a bounded time; raises Unanswered."""


class Known(NamedTuple):
    """Who it is, and how long that may be said of who shows the same."""

    identity: Identity
    kept_seconds: float


def known_by(body: bytes, default: Rights, clock: Callable[[], float] = time.time) -> Known:
    """Who it is by an answer ``{"user": …, "expires_in": s, "wsgw": {rights}, "claims": {…}}``; raises ValueError.

    ``user`` is there, and null for who has none; without ``wsgw`` it has the rights ``default``. ``{sub}`` is the user.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("the answer is no JSON") from None
    if not isinstance(said, dict):
        raise ValueError("the answer is no JSON object")  # noqa: TRY004  bad input, not a fault
    user = _user(said)
    seconds = _seconds(said.get("expires_in"))
    try:
        rights = default if "wsgw" not in said else rights_of(said["wsgw"])
    except ValueError as error:
        raise ValueError(f"wsgw: {error}") from None
    claims = said.get("claims")
    if claims is not None and not isinstance(claims, Mapping):
        raise ValueError("claims: is no JSON object")
    claims = {key: value for key, value in (claims or {}).items() if key != "sub"}
    if user is not None:
        claims["sub"] = user
    expires_at = None if seconds is None else clock() + seconds
    kept = KEPT_SECONDS if seconds is None else min(KEPT_SHARE * seconds, MOST_KEPT_SECONDS)
    return Known(Identity(user, rights, claims, expires_at), kept)


def _user(said: Mapping[str, object]) -> str | None:
    user = said.get("user", "")
    if user is None:
        return None
    if not is_user(user):
        raise ValueError(f"user: is not null, nor a text of 1 to {MAX_USER_CHARS} characters that can be printed")
    return user


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("expires_in: is no number of seconds")
    if not 0 < value <= MOST_SECONDS:
        raise ValueError("expires_in: is not more than 0 and at most a year")
    return float(value)

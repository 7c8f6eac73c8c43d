"""The address given with ``-u``: which side it names, and how it is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

#: URL scheme -> the side's name in the tools' output.
CHANNEL_TYPES: dict[str, str] = {
    "http": "WS",
    "https": "WS",
    "ws": "WS",
    "wss": "WS",
    "nats": "NATS",
    "tls": "NATS",
}
_EXAMPLES = "http://localhost:3007 (Socket.IO), ws://localhost:3007 (WebSocket) or nats://localhost:4222 (NATS)"

_USER_INFO = re.compile(r"(//|\A(?!\w*://))(?:([^:/@]*):)?.*@", re.S)


def masked(uri: str) -> str:
    """``uri`` with its password, or its token if it has no user name, and with its query, replaced by ``***``.

    Works on any text, an unusable URL included: everything up to the last ``@`` counts as a secret.
    """
    uri = _USER_INFO.sub(lambda m: f"{m[1]}{m[2]}:***@" if m[2] else f"{m[1]}***@", uri)
    return re.sub(r"\?.+", "?***", uri, flags=re.S)


@dataclass(frozen=True, slots=True)
class Address:
    """A checked URL. ``str()`` is the URL as it was given, secrets masked."""

    parts: SplitResult = field(repr=False)
    shown: str
    #: what is shown to a gateway that asks who its clients are
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.shown

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def channel_type(self) -> str:
        """``WS`` or ``NATS``."""
        return CHANNEL_TYPES[self.parts.scheme]

    @property
    def user(self) -> str | None:
        return None if self.parts.username is None else unquote(self.parts.username)

    @property
    def password(self) -> str | None:
        return None if self.parts.password is None else unquote(self.parts.password)

    def without_userinfo(self) -> str:
        """``scheme://host[:port]``."""
        return f"{self.parts.scheme}://{self.parts.netloc.rpartition('@')[2]}"


def parse(uri: str) -> Address:
    """Check ``uri``. Raises ValueError with a sentence for the user; it holds no secret."""
    shown = masked(uri)
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme.lower() not in CHANNEL_TYPES:
        raise ValueError(f"{shown!r}: a URL with one of the schemes {', '.join(CHANNEL_TYPES)} is needed: {_EXAMPLES}")
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", uri):
        raise ValueError(f"{shown!r}: host or port is not usable; the form is scheme://host:port")
    return Address(parts, shown)

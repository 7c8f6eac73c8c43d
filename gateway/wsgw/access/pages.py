"""Where a request comes from, by its headers Host and Origin, and what is to be said to it for that."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from wsgw.access.hosts import Hosts
from wsgw.access.origins import BY_TLS, NOTHING, Asked, Headers, Origins
from wsgw.config.origins import SAME

log = logging.getLogger("wsgw.access")

#: What each answer over HTTP tells browsers, whoever gives it: that it is what it says, and if it is shown as a page
#: after all runs nothing, loads nothing, is in nobody's frame, and tells nobody its address, which may have a token.
SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
#: Of either header. A name has 253 characters at most.
MAX_HEADER_BYTES = 400
#: Pairs of the two of which is known what to say; a peer may send any it likes.
MAX_KNOWN = 1024
#: Different refusals that are told one by one.
MAX_TOLD = 128
#: Of a header that is shown.
MAX_SHOWN_CHARS = 80

#: What is shown as it is.
_PLAIN = re.compile(r"[A-Za-z0-9+.:/_\[\]-]+")
_READ = frozenset({b"host", b"origin"})


class Verdict(NamedTuple):
    """``headers`` are those of each answer. ``refusal`` says why nothing else is answered, None where it is not;
    ``setting`` is which one refuses.
    """

    headers: Headers
    refusal: str | None = None
    setting: str = ""


class Pages:
    """The settings ``origins`` and ``hosts``, as one question; see ``Origins`` and ``Hosts`` for the arguments."""

    def __init__(
        self,
        origins: str | Sequence[str] = SAME,
        hosts: Iterable[str] | None = None,
        listening: Collection[str] = (),
        *,
        credentials: bool = False,
    ) -> None:
        self._origins = Origins(origins, credentials=credentials)
        self._hosts = Hosts(listening, hosts)
        self._known = lru_cache(MAX_KNOWN)(self._decide)
        self._told: set[str] = set()

    def look(
        self, headers: Iterable[tuple[bytes, bytes]], *, proxied: bool = False, asked: Asked | None = None
    ) -> Verdict:
        """Of a request's ``headers``, whose names are in lower case. One that is there twice is none.

        ``proxied`` is that of ``Hosts.allows``; what proxies that are trusted say goes before Host (``asked``). On
        loopback Host has to be allowed as well: a page there can send what a proxy sends, but no other Host.
        """
        origin = host = None
        for name, value in [header for header in headers if header[0] in _READ]:
            if name == b"origin":
                origin = value if origin is None else b"%b, %b" % (origin, value)
            else:
                host = value if host is None else b"%b, %b" % (host, value)
        if asked is None:
            asked = NOTHING
        if (
            (origin is not None and len(origin) > MAX_HEADER_BYTES)
            or (host is not None and len(host) > MAX_HEADER_BYTES)
            or (asked.host is not None and len(asked.host) > MAX_HEADER_BYTES)
        ):
            return self._decide(origin, host, proxied, asked)
        return self._known(origin, host, proxied, asked)

    def tell(self, verdict: Verdict) -> bool:
        """Log a refusal, once; False where so many others were told that this one is not any more."""
        assert verdict.refusal is not None
        if verdict.refusal in self._told:
            return True
        if len(self._told) >= MAX_TOLD:
            return False
        self._told.add(verdict.refusal)
        log.warning("refused: %s: %s", verdict.refusal, _ADVICE[verdict.setting])
        return True

    # -- inside

    def _decide(self, origin: bytes | None, host: bytes | None, proxied: bool, asked: Asked) -> Verdict:
        page = None if origin is None else origin.decode("latin-1")
        name = None if host is None else host.decode("latin-1")
        if asked.host is not None:
            if self._hosts.on_loopback and not self._hosts.allows(name, proxied=proxied):
                return Verdict(SAFE, f"host {_shown(name)} is not in 'hosts'", "hosts")
            name = asked.host.decode("latin-1")
        if not self._hosts.allows(name, proxied=proxied):
            return Verdict(SAFE, f"host {_shown(name)} is not in 'hosts'", "hosts")
        if not self._origins.allows(page, name, asked):
            return Verdict(SAFE, f"origin {_shown(page)} is not in 'origins'{_told(name, asked)}", "origins")
        return Verdict(SAFE + self._origins.headers(origin))


_ADVICE = {
    "hosts": "where the gateway is to be asked by that name, add it to 'hosts' in the configuration, and restart",
    "origins": "where pages of it are to use the gateway, add it to 'origins' in the configuration, and restart",
}


def _told(name: str | None, asked: Asked) -> str:
    """What the origin is not, where that is not by Host alone."""
    if asked is NOTHING:
        return ""
    scheme = "" if asked.scheme is None else f"{asked.scheme}://"
    who = "" if asked == BY_TLS else "proxies say that "  # who say a scheme say a port, too
    return f", and {who}{scheme}{_shown(name)} was asked"


def _shown(value: str | None) -> str:
    """As a line of a log and a close's reason may have it, whatever it is."""
    text = "" if value is None else value
    text = text if _PLAIN.fullmatch(text) else ascii(text)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."

"""The servers that may be connected to: those configured, and those that one of them told of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit


class Servers:
    """URLs, in the order in which they are to be tried; the configured ones go before those that a server told of."""

    def __init__(self, configured: Sequence[str]) -> None:
        self._configured = list(configured)
        self._discovered: list[str] = []
        self._known_as = ""

    def __iter__(self) -> Iterator[str]:
        return iter([*self._configured, *self._discovered])

    def discovered(self, urls: Iterable[str], known_as: str = "") -> None:
        """A server with a certificate for the host ``known_as`` told of ``urls``; what others told of is forgotten."""
        known = {address_of(url) for url in self._configured}
        self._discovered = [url for url in urls if address_of(url) not in known]
        self._known_as = "" if _is_address(known_as) else known_as

    def known_as(self, url: str) -> str:
        """The host for which the certificate of ``url`` has to be; empty where it is that in the URL.

        Servers tell of one another by address, for which certificates seldom are: it is one of the same cluster. Where
        the one that told is itself known by its address alone, each is by its own.
        """
        return self._known_as if url in self._discovered and _is_address(urlsplit(url).hostname) else ""

    def put_last(self, url: str) -> None:
        """The next one first, next time."""
        for urls in (self._configured, self._discovered):
            if url in urls:
                urls.remove(url)
                urls.append(url)
                return


def address_of(url: str) -> str:
    """HOST:PORT."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def masked(url: str) -> str:
    """``url`` without its secrets, for logs."""
    parts = urlsplit(url)
    if parts.username is None:
        return url
    shown = f"{parts.username}:***" if parts.password is not None else "***"
    return urlunsplit(parts._replace(netloc=f"{shown}@{parts.netloc.rpartition('@')[2]}"))

"""Names of hosts as URLs and the header Host have them (RFC 3986 section 3.2), and patterns of them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator

from wsgw.config.values import said

MAX_NAME_CHARS = 253
#: Stands for one or more labels, where a pattern begins with it.
WILDCARD = "*."

_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")


def split_port(text: str) -> tuple[str, int | None]:
    """The host of ``HOST[:PORT]`` in its normal form, and the port, None where there is none; raises ValueError."""
    match = _WITH_PORT.fullmatch(text)
    if match is None:
        raise ValueError("is not HOST or HOST:PORT")
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("has no port in it that there is")
    return normal(match[1]), port


def normal(host: str) -> str:
    """``host`` in lower case and without the dot of the root at its end; an IPv6 address as RFC 5952 writes it.

    Raises ValueError where it is no name and no address.
    """
    if host.startswith("["):
        if not host.endswith("]") or "%" in host:
            raise ValueError("is not an IPv6 address in brackets")
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    name = host.lower().removesuffix(".") if host.isascii() else ""
    if len(name) > MAX_NAME_CHARS or _NAME.fullmatch(name) is None:
        raise ValueError("is not a host's name")
    return name


def is_address(host: str) -> bool:
    """Whether ``host``, in its normal form, is an IP address, and so no name that somebody resolves."""
    if host.startswith("["):
        return True
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether who listens on ``host``, a name or an address without brackets, is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


class HostPatterns:
    """A set of hosts: of names as they are, and of all below one (``*.example.com``, which ``example.com`` is not)."""

    __slots__ = ("_names", "_suffixes")

    def __init__(self, patterns: Iterable[str]) -> None:
        """``patterns`` as ``pattern_of`` gives them."""
        every = frozenset(patterns)
        self._suffixes = tuple(sorted(each[1:] for each in every if each.startswith(WILDCARD)))
        self._names = frozenset(each for each in every if not each.startswith(WILDCARD))

    def __contains__(self, host: str) -> bool:
        """Whether ``host``, in its normal form, is one of them."""
        return host in self._names or (host.endswith(self._suffixes) and not is_address(host))


def pattern_of(text: str) -> str:
    """A host, or ``*.`` and a name, in its normal form; raises ValueError with the reason."""
    name = text.removeprefix(WILDCARD)
    if "*" in name:
        raise ValueError("has a * that is not its first label, where it stands for one or more of them")
    if not name.isascii():
        raise ValueError(f"has letters that browsers send otherwise{_as_sent(name)}")
    try:
        host = normal(name)
    except ValueError:
        raise ValueError("has no host's name or address in it") from None
    if len(name) < len(text) and is_address(host):
        raise ValueError("has a * in front of an address")
    return text[: len(text) - len(name)] + host


def entry_of(text: str) -> str:
    """An entry of the configuration as a pattern; raises ValueError with the reason, to be read behind the entry."""
    if "/" in text:
        raise ValueError("is a URL; the host's name alone is expected")
    if text.count(":") > 1 and not text.startswith("["):
        return pattern_of(f"[{text}]")
    if ":" in text and not text.endswith("]"):
        raise ValueError("has a port, which is not looked at: leave it out")
    return pattern_of(text)


def _as_sent(name: str) -> str:
    try:
        return f": write {name.encode('idna').decode()}"
    except UnicodeError:
        return ""


def _hosts(value: object) -> object:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list | tuple):
        raise ValueError("a list of hosts is expected here")  # noqa: TRY004  pydantic's way
    return [_entry(each) for each in entries]


def _entry(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.64} is not a host's name")  # noqa: TRY004
    try:
        return entry_of(value)
    except ValueError as error:
        raise ValueError(f"{value[:64]!r} {error}") from None


Hosts = Annotated[list[str] | None, BeforeValidator(_hosts), BeforeValidator(said)]

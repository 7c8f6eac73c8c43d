"""Addresses to listen on, of TCP and unix sockets: as entries of the configuration, and which of them are the same."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

from wsgw.config.hosts import is_loopback, normal

#: Begins an entry that is a path.
UNIX = "unix:"
#: Of a unix socket whose entry names none: its owner, and the group that a proxy may be in.
DEFAULT_MODE = 0o660
#: What the system takes (``sun_path`` of unix(7), without its end).
MAX_SOCKET_PATH_BYTES = 107
#: Both loopbacks; the system is not asked for this name.
LOCALHOST = "localhost"
LOOPBACKS = ("127.0.0.1", "::1")

_MODE = re.compile(r"0?[0-7]{3}")
_WITH_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]]+)):([0-9]{1,5})", re.ASCII)
#: Of a name: the system takes it for a number, and a name that ends so for an address.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """``host`` is a name, or an address without brackets; ``port`` 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is reached from this machine only."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """``mode`` is who may connect, as of any file."""

    path: str
    mode: int = DEFAULT_MODE

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


Address = TcpAddress | UnixAddress


def address_of(entry: str) -> Address:
    """An entry of the configuration; raises ValueError with the reason."""
    if entry.startswith(UNIX):
        return _unix(entry)
    match = _WITH_PORT.fullmatch(entry)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{entry[:64]!r} is not HOST:PORT or unix:/PATH")
    host, port = match[1] or match[2], int(match[3])
    if match[1] or ":" in host:
        _check_ipv6(entry, host, port)
    else:
        _check_name(entry, host)
    return TcpAddress(host, port)


def addresses_of(listen: str | Sequence[str], port: int | None = None) -> tuple[Address, ...]:
    """Those of the setting ``listen``; ``port`` takes the place of that of the one that has a port."""
    entries = [listen] if isinstance(listen, str) else listen
    found = [address_of(entry) for entry in entries]
    if port is None:
        return tuple(found)
    return tuple(TcpAddress(each.host, port) if isinstance(each, TcpAddress) else each for each in found)


def clash(addresses: Sequence[Address], others: Sequence[Address] | None = None) -> tuple[Address, Address] | None:
    """Two of them that cannot both be listened on: of one list, or one of each. A list is that of one setting.

    What names stand for is not known here.
    """
    ours = list(_places(addresses))
    pairs = combinations(ours, 2) if others is None else product(ours, _places(others))
    return next(((one.address, other.address) for one, other in pairs if one.meets(other)), None)


def has_ipv4(port: int, addresses: Sequence[Address]) -> bool:
    """Whether ``port`` of IPv4 is listened on by an entry of its own, so that ``[::]`` is not for it."""
    return any(isinstance(each, TcpAddress) and each.port == port and ":" not in each.host for each in addresses)


# -- inside


class _Place(NamedTuple):
    """One of those that ``address`` stands for: ``name`` of a ``family``, None for all of it."""

    address: Address
    family: str
    port: int
    name: str | None

    def meets(self, other: _Place) -> bool:
        """Whether it is the other one, or a part of it."""
        same = self.name == other.name or self.name is None or other.name is None
        return same and (self.family, self.port) == (other.family, other.port)


def _places(addresses: Sequence[Address]) -> Iterator[_Place]:
    for address in addresses:
        if isinstance(address, UnixAddress):
            parts = [part for part in address.path.split("/") if part not in ("", ".")]
            yield _Place(address, UNIX, 0, "/".join(parts))
        elif address.port:  # of free ones there are many
            for family, name in _hosts(address, addresses):
                yield _Place(address, family, address.port, name)


def _hosts(address: TcpAddress, addresses: Sequence[Address]) -> Iterator[tuple[str, str | None]]:
    host = address.host.lower()
    for each in LOOPBACKS if host == LOCALHOST else (host,):
        try:
            found = ipaddress.ip_address(each)
        except ValueError:
            yield "name", each
            continue
        yield f"IPv{found.version}", None if found.is_unspecified else str(found)
        if found.version == 6 and found.is_unspecified and not has_ipv4(address.port, addresses):
            yield "IPv4", None


def _check_ipv6(entry: str, host: str, port: int) -> None:
    try:
        found = ipaddress.IPv6Address(host)
    except ValueError:  # the port is missing, maybe
        raise ValueError(f"{entry[:64]!r} is not HOST:PORT; an address of IPv6 is in brackets: [::1]:3007") from None
    if found.ipv4_mapped is not None:
        raise ValueError(f"{entry[:64]!r} is an address of IPv4: write {found.ipv4_mapped}:{port}")


def _check_name(entry: str, host: str) -> None:
    try:
        name = normal(host)
        if _NUMBER.fullmatch(name):
            ipaddress.IPv4Address(name)
    except ValueError:
        raise ValueError(f"{entry[:64]!r} has no host's name or address in front of its port") from None


def _unix(entry: str) -> UnixAddress:
    path, mark, mode = entry[len(UNIX) :].partition("?mode=")
    if "?" in path:
        raise ValueError(f"{entry[:64]!r}: behind the path there may be ?mode=660, and no other ?")
    if not path.startswith("/"):
        raise ValueError(f"{entry[:64]!r} is not unix:/PATH, from the root on")
    if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"{entry[:64]!r}: a socket's path has at most {MAX_SOCKET_PATH_BYTES} bytes")
    if not path.isprintable() or path.endswith("/"):
        raise ValueError(f"{entry[:64]!r}: a socket's path has no control characters, and no slash at its end")
    if mark and not _MODE.fullmatch(mode):
        raise ValueError(f"{entry[:64]!r}: the mode is three octal digits such as ?mode=660")
    return UnixAddress(path, int(mode, 8) if mark else DEFAULT_MODE)

"""Where the gateway listens: addresses of TCP and unix sockets; and below which path it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field

from wsgw.config.hosts import is_loopback
from wsgw.config.values import Model, said, section

#: Begins an entry that is a path.
UNIX = "unix:"
#: Of a unix socket whose entry names none: its owner, and the group that a proxy may be in.
DEFAULT_MODE = 0o660
#: What the system takes (``sun_path`` of unix(7), without its end).
MAX_SOCKET_PATH_BYTES = 107
MAX_LISTENED = 32
MAX_BASE_PATH_CHARS = 64

_MODE = re.compile(r"0?[0-7]{3}")
#: What needs no escape in a path (RFC 3986 section 3.3), so that there is one way to write it.
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")


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


class TlsSettings(Model):
    """TLS for clients, on all addresses with a port."""

    certificate_file: str = Field(
        min_length=1,
        description="The certificate in PEM form, and behind it those of who signed it. Read again when it changes.",
    )
    key_file: str = Field(min_length=1, description="Its private key in PEM form, not encrypted.")


def admin_problem(listen: str | Sequence[str], port: int | None, admin: str | Sequence[str]) -> str | None:
    """Why operators cannot have a listener at ``admin``."""
    clients = {(each.host, each.port) for each in addresses_of(listen, port) if isinstance(each, TcpAddress)}
    paths = {each.path for each in addresses_of(listen) if isinstance(each, UnixAddress)}
    for each in addresses_of(admin):
        taken = each.path in paths if isinstance(each, UnixAddress) else each.port and (each.host, each.port) in clients
        if taken:
            return f"'{each}' is where clients are listened for"
    return None


def tls_problem(listen: str | Sequence[str]) -> str | None:
    """Why there is nothing for ``tls``."""
    if any(isinstance(each, TcpAddress) for each in addresses_of(listen)):
        return None
    return "'listen' has no address with a port, and a unix socket has no TLS"


def address_of(entry: str) -> Address:
    """An entry of the configuration; raises ValueError with the reason."""
    if entry.startswith(UNIX):
        return _unix(entry)
    host, colon, port = entry.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{entry!r} is not HOST:PORT or unix:/PATH")
    if ":" in host and not _is_ipv6(host):  # the port is missing, maybe
        raise ValueError(f"{entry!r} is not HOST:PORT; an address of IPv6 is in brackets: [::1]:3007")
    return TcpAddress(host, int(port))


def addresses_of(listen: str | Sequence[str], port: int | None = None) -> tuple[Address, ...]:
    """Those of the setting ``listen``; ``port`` takes the place of that of the one that has a port."""
    entries = [listen] if isinstance(listen, str) else listen
    found = [address_of(entry) for entry in entries]
    if port is None:
        return tuple(found)
    return tuple(TcpAddress(each.host, port) if isinstance(each, TcpAddress) else each for each in found)


def port_problem(listen: str | Sequence[str], port: int | None) -> str | None:
    """Why ``port`` cannot take the place of that of ``listen``."""
    with_port = sum(isinstance(each, TcpAddress) for each in addresses_of(listen))
    if port is None or with_port == 1:
        return None
    return f"'listen' has {with_port} addresses with a port, and this is for one; say the ports there"


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _unix(entry: str) -> UnixAddress:
    path, mark, mode = entry[len(UNIX) :].partition("?mode=")
    if "?" in path:
        raise ValueError(f"{entry[:64]!r}: behind the path there may be ?mode=660, and no other ?")
    if not path.startswith("/"):
        raise ValueError(f"{entry!r} is not unix:/PATH, from the root on")
    if "\0" in path or len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"{entry[:64]!r}: a socket's path has at most {MAX_SOCKET_PATH_BYTES} bytes")
    if mark and not _MODE.fullmatch(mode):
        raise ValueError(f"{entry!r}: the mode is three octal digits such as ?mode=660")
    return UnixAddress(path, int(mode, 8) if mark else DEFAULT_MODE)


def _listen(value: object) -> str | list[str]:
    if not isinstance(value, list | tuple):
        address_of(str(value))
        return str(value)
    entries = [str(each) for each in value]
    if not 0 < len(entries) <= MAX_LISTENED:
        raise ValueError(f"one address is expected here, or a list of at most {MAX_LISTENED}")
    seen: set[tuple[str, int]] = set()
    for entry in entries:
        address = address_of(entry)
        key = (address.host, address.port) if isinstance(address, TcpAddress) else (address.path, -1)
        if key in seen and key[1]:  # of free ports there are many
            raise ValueError(f"{entry!r} is there twice")
        seen.add(key)
    return entries


def _base_path(value: object) -> str:
    text = str(value)
    segments = text[1:].split("/")
    if not text.startswith("/") or len(text) > MAX_BASE_PATH_CHARS:
        raise ValueError(f"{text[:64]!r} is not a path such as /rt, of at most {MAX_BASE_PATH_CHARS} characters")
    if text == "/":
        raise ValueError("'/' is where everything is without it; leave it out")
    if text.endswith("/"):
        raise ValueError(f"{text!r} ends with a slash; leave that out")
    if not all(_SEGMENT.fullmatch(each) and each not in (".", "..") for each in segments):
        raise ValueError(f"{text!r} has more in it than names of letters, digits and - . _ ~ with a slash before each")
    return text


Listen = Annotated[str | list[str], BeforeValidator(_listen)]


class AdminSettings(Model):
    """A listener for operators alone."""

    listen: Listen = Field(
        description="Where `/metrics` and the details of `/readyz` are then, as in `listen`; without TLS."
    )


Admin = Annotated[AdminSettings | None, section("leave it out where operators ask where clients do")]
BasePath = Annotated[str | None, BeforeValidator(_base_path), BeforeValidator(said)]
Tls = Annotated[TlsSettings | None, section("leave it out where clients are to use no TLS")]

"""The PROXY protocol's header, versions 1 and 2 (haproxy.org, proxy-protocol.txt): whose a connection is.

A proxy that passes on bytes writes it in front of them, before TLS begins. No request of HTTP/1.1 and no TLS begins so.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from wsgw.protocols.forwarded import plain

SIGNATURE_1 = b"PROXY "
SIGNATURE_2 = b"\r\n\r\n\x00\r\nQUIT\n"
#: Section 2.1: what the longest header of version 1 has, its end included.
MAX_BYTES_1 = 107
#: Of version 2, which could say to have 65551; real ones have some hundreds, with what they tell of TLS.
MAX_BYTES_2 = 4096

Kind = type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]

_KINDS: dict[bytes, Kind] = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_FIXED_BYTES = 16
#: Of version 2: the bytes of an address, by the family.
_IPV4, _IPV6 = 1, 2
_ADDRESS_BYTES = {_IPV4: 4, _IPV6: 16}
_MAX_FAMILY, _MAX_TRANSPORT = 3, 2
_LOCAL, _PROXIED = 0x20, 0x21


class ProxyHeaderError(ValueError):
    """What begins as a header is none."""


class Source(NamedTuple):
    """Where a connection comes from."""

    address: str
    port: int


class Found(NamedTuple):
    """``size`` bytes are a header, none where it is 0. ``source`` is None where the header does not say it: the proxy
    asks for itself, or by what has no addresses of IP.
    """

    size: int
    source: Source | None = None


NONE = Found(0)


def find(data: bytes) -> Found | None:
    """What ``data`` begins with, None where that cannot be said before there is more; raises ProxyHeaderError.

    It says so within MAX_BYTES_1 or MAX_BYTES_2.
    """
    if data.startswith(SIGNATURE_1):
        return _version_1(data)
    if data.startswith(SIGNATURE_2):
        return _version_2(data)
    return None if SIGNATURE_1.startswith(data) or SIGNATURE_2.startswith(data) else NONE


def is_header(data: bytes) -> bool:
    """Whether ``data`` is the beginning of a header, good or bad."""
    return data.startswith((SIGNATURE_1, SIGNATURE_2))


# -- inside


def _version_1(data: bytes) -> Found | None:
    end = data.find(b"\r\n", 0, MAX_BYTES_1)
    if end < 0:
        if len(data) >= MAX_BYTES_1:
            raise ProxyHeaderError(f"it does not end within {MAX_BYTES_1} bytes")
        return None
    _, family, *rest = data[:end].split(b" ")
    if family == b"UNKNOWN":
        return Found(end + 2)
    kind = _KINDS.get(family)
    if kind is None or len(rest) != 4:
        raise ProxyHeaderError("it is not PROXY TCP4 or TCP6, two addresses and two ports")
    addresses = [_address(kind, each) for each in rest[:2]]
    ports = [int(each) if _PORT.fullmatch(each) else 65536 for each in rest[2:]]
    if max(ports) > 65535:
        raise ProxyHeaderError("it has no port where one should be")
    return Found(end + 2, Source(addresses[0], ports[0]))


def _address(kind: Kind, text: bytes) -> str:
    try:
        return str(plain(kind(text.replace(b"%", b"?").decode("ascii"))))  # a zone is none of a client's address
    except ValueError:
        raise ProxyHeaderError("it has no address where one should be") from None


def _version_2(data: bytes) -> Found | None:
    if len(data) < _FIXED_BYTES:
        return None
    command, kind = data[12], data[13]
    family, transport = kind >> 4, kind & 0xF
    if command not in (_LOCAL, _PROXIED):
        raise ProxyHeaderError("its version or command is none that there is")
    if family > _MAX_FAMILY or transport > _MAX_TRANSPORT:
        raise ProxyHeaderError("its family or transport is none that there is")
    length = int.from_bytes(data[14:16])
    size = _FIXED_BYTES + length
    if size > MAX_BYTES_2:
        raise ProxyHeaderError(f"it has more than {MAX_BYTES_2} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL or family not in _ADDRESS_BYTES or not transport:
        return Found(size)
    width = _ADDRESS_BYTES[family]
    ports = _FIXED_BYTES + 2 * width
    if length < 2 * width + 4:
        raise ProxyHeaderError("it is too short for its addresses")
    address = plain(ipaddress.ip_address(data[_FIXED_BYTES : _FIXED_BYTES + width]))
    return Found(size, Source(str(address), int.from_bytes(data[ports : ports + 2])))

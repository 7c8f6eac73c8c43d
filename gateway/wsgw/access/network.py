"""Addresses of clients: in which networks they are, and as what they count."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from wsgw.protocols.forwarded import IPAddress, plain

#: What one subscriber to the internet has, in IPv6, at the least (RFC 6177).
COUNTED_PREFIX = 64
#: IPv4 within IPv6, where a translator stands in between (RFC 6052, RFC 7755).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def parsed(text: str) -> IPAddress | None:
    """The address, without its zone; None where ``text`` is none. One of IPv4 within IPv6 is one of IPv4."""
    try:
        return plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def network_of(address: IPAddress) -> str:
    """What ``address`` counts as: itself where it is of IPv4, its network of 64 bits where it is of IPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address in _TRANSLATED:
        return str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return str(ipaddress.IPv6Network((int(address), COUNTED_PREFIX), strict=False))


class Networks:
    """A set of networks. Whether an address is in it is found at once, however many there are."""

    __slots__ = ("_by_prefix",)

    def __init__(self, networks: Iterable[str] = ()) -> None:
        starts: dict[tuple[int, int], set[int]] = {}
        for each in map(ipaddress.ip_network, networks):
            shift = each.max_prefixlen - each.prefixlen
            starts.setdefault((each.version, shift), set()).add(int(each.network_address) >> shift)
        self._by_prefix = [(version, shift, frozenset(found)) for (version, shift), found in starts.items()]

    def __contains__(self, address: IPAddress) -> bool:
        number = int(address)
        return any(
            version == address.version and (number >> shift) in found for version, shift, found in self._by_prefix
        )

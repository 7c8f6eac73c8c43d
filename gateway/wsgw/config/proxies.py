"""Whose word is taken on who a client is: addresses and networks of proxies."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BeforeValidator

from wsgw.config.values import said

#: Stands for those that connect to a unix socket.
UNIX = "unix"
MAX_PROXIES = 1000

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def entry_of(text: str) -> str:
    """An entry of the configuration in its normal form; raises ValueError with the reason, to be read behind it."""
    if text == UNIX:
        return UNIX
    if text.startswith("[") or "%" in text:
        raise ValueError("is an address with brackets, a port or a zone; leave these out")
    address, slash, _ = text.partition("/")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(
            f"is no IP address, network such as 10.0.0.0/8, or {UNIX!r}; names are not looked up"
        ) from None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"has no length of a prefix behind its slash: write {address} for the address alone") from None
    if slash and ipaddress.ip_address(address) != network.network_address:
        raise ValueError(f"is an address within a network: write {network} for that, or {address}")
    network = _as_ipv4(network)
    if not network.prefixlen:
        raise ValueError("is everybody, and everybody could say to be anybody; name the proxies")
    return str(network)


def _as_ipv4(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        first = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((first, network.prefixlen - 96))
    return network


def _proxies(value: object) -> object:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list | tuple):
        raise ValueError("a list of addresses and networks is expected here")  # noqa: TRY004  pydantic's way
    if len(entries) > MAX_PROXIES:
        raise ValueError(f"at most {MAX_PROXIES} addresses and networks are expected here")
    return [_entry(each) for each in entries]


def _entry(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.64} is no IP address, network or {UNIX!r}")  # noqa: TRY004
    try:
        return entry_of(value.strip())
    except ValueError as error:
        raise ValueError(f"{value[:64]!r} {error}") from None


TrustedProxies = Annotated[list[str] | None, BeforeValidator(_proxies), BeforeValidator(said)]

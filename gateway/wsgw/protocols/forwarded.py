"""What proxies say of who asked them: the headers ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``, hop by hop.

Each proxy appends what it knows, so the last that is said comes from the nearest one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Of all lines of a header. Who says more than that says nothing.
MAX_BYTES = 4096

_OBFUSCATED = re.compile(r"_[A-Za-z0-9._-]+")
_PORT = re.compile(r"[0-9]{1,5}|_[A-Za-z0-9._-]+")
_BETWEEN = re.compile(r"[ \t]*")
#: The value is taken without quotes, too, where it has no separator in it: ports and IPv6 are often written so.
_PAIR = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^ \t",;\\]+))""")
_ESCAPE = re.compile(r"\\(.)")


class ForwardingError(ValueError):
    """What is there is none of the header; nothing that it says is to be believed."""


class Hop(NamedTuple):
    """What one proxy says: the ``address`` that asked it (None where it does not say, or says ``unknown``), for which
    ``host`` and by which scheme (``proto``), None where not said.
    """

    address: IPAddress | None
    host: str | None = None
    proto: str | None = None


def forwarded(lines: Sequence[bytes]) -> Iterator[Hop]:
    """Of the lines of ``Forwarded``, the nearest proxy's first; raises ForwardingError where it comes to what is none.

    Lines that were not come to are not looked at: they may be a client's.
    """
    _check_size(lines)
    for line in reversed(lines):
        for element in reversed(_elements(line.decode("latin-1"))):
            node = element.get("for")
            yield Hop(None if node is None else address_of(node), element.get("host"), element.get("proto"))


def forwarded_for(lines: Sequence[bytes]) -> Iterator[Hop]:
    """Of the lines of ``X-Forwarded-For``, as ``forwarded``."""
    _check_size(lines)
    for line in reversed(lines):
        for node in reversed(line.decode("latin-1").split(",")):
            stripped = node.strip(" \t")
            if stripped:
                yield Hop(address_of(stripped))


def address_of(node: str) -> IPAddress | None:
    """The address in ``ADDRESS[:PORT]``, None for ``unknown`` and names that hide one; raises ForwardingError.

    IPv6 is in brackets, or without a port. An IPv4 address within IPv6 is one of IPv4.
    """
    if node.startswith("["):
        host, end, port = node[1:].partition("]")
        if not end or (port and not (port[0] == ":" and _PORT.fullmatch(port, 1))):
            raise ForwardingError("an address in brackets does not end with one, or a port")
        return _ip(host, ipaddress.IPv6Address)
    if node.count(":") > 1:
        return _ip(node, ipaddress.IPv6Address)
    host, colon, port = node.partition(":")
    if colon and not _PORT.fullmatch(port):
        raise ForwardingError("an address has no port behind its colon")
    if host.lower() == "unknown" or _OBFUSCATED.fullmatch(host):
        return None
    return _ip(host, ipaddress.IPv4Address)


def plain(address: IPAddress) -> IPAddress:
    """``address``, or that of IPv4 that is mapped into it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _ip(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> IPAddress:
    if "%" in text:  # a zone is anything, and means something on its own machine only
        raise ForwardingError("an address has a zone")
    try:
        return plain(kind(text))
    except ValueError:
        raise ForwardingError("what is said is no address") from None


def _check_size(lines: Sequence[bytes]) -> None:
    if sum(map(len, lines)) > MAX_BYTES:
        raise ForwardingError(f"it has more than {MAX_BYTES} bytes")


def _elements(line: str) -> list[dict[str, str]]:
    """The parameters of each element, by their names in lower case."""
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    at, free = 0, True
    while True:
        match = _BETWEEN.match(line, at)
        at = at if match is None else match.end()
        if at == len(line) or line[at] == ",":
            if element:
                elements.append(element)
            if at == len(line):
                return elements
            element, free = {}, True
            at += 1
        elif line[at] == ";":
            free = True
            at += 1
        else:
            pair = _PAIR.match(line, at)
            if pair is None or not free:
                raise ForwardingError("an element is no NAME=VALUE")
            name = pair[1].lower()
            if name in element:
                raise ForwardingError("an element says one thing twice")
            element[name] = _ESCAPE.sub(r"\1", pair[2]) if pair[3] is None else pair[3]
            at, free = pair.end(), False

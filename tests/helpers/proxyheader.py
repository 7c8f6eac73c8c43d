"""Headers of the PROXY protocol, as proxies write them."""

from __future__ import annotations

import ipaddress

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version_1(source: str, port: int, to: str | None = None, to_port: int = 443) -> bytes:
    """From ``source`` to ``to``, which is the same where not given."""
    kind = f"TCP{ipaddress.ip_address(source).version}"
    return f"PROXY {kind} {source} {to or source} {port} {to_port}\r\n".encode()


def version_2(
    source: str, port: int, to: str | None = None, to_port: int = 443, *, transport: int = 1, more: bytes = b""
) -> bytes:
    """As ``version_1``; ``more`` are TLVs."""
    address = ipaddress.ip_address(source)
    kind = (0x10 if address.version == 4 else 0x20) + transport
    ends = address.packed + ipaddress.ip_address(to or source).packed + port.to_bytes(2) + to_port.to_bytes(2)
    return _SIGNATURE + bytes([0x21, kind]) + (len(ends) + len(more)).to_bytes(2) + ends + more


def local_2(kind: bytes = b"\x00", more: bytes = b"") -> bytes:
    """Of a proxy that asks for itself."""
    return _SIGNATURE + b"\x20" + kind + len(more).to_bytes(2) + more

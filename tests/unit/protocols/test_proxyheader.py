"""The PROXY protocol's header, versions 1 and 2."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.proxyheader import local_2, version_1, version_2
from wsgw.protocols.forwarded import IPAddress, plain
from wsgw.protocols.proxyheader import (
    MAX_BYTES_1,
    MAX_BYTES_2,
    NONE,
    SIGNATURE_1,
    SIGNATURE_2,
    Found,
    ProxyHeaderError,
    Source,
    find,
    is_header,
)

REST = b"GET / HTTP/1.1\r\n\r\n"
LONGEST_1 = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(MAX_BYTES_1 - 2, b"x") + b"\r\n"
SAME_FAMILY = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)
PORTS = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Source("255.255.255.255", 65535)),
        (b"PROXY TCP4 8.8.8.8 10.0.0.1 0 443\r\n", Source("8.8.8.8", 0)),
        (b"PROXY TCP6 2600:0:0::1 ::1 1 2\r\n", Source("2600::1", 1)),
        (b"PROXY TCP6 ::ffff:8.8.8.8 ::1 1 2\r\n", Source("8.8.8.8", 1)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN whatever this is\r\n", None),
        (LONGEST_1, None),
        (version_2("8.8.8.8", 1), Source("8.8.8.8", 1)),
        (version_2("8.8.8.8", 1, transport=2), Source("8.8.8.8", 1)),
        (version_2("2600::1", 65535), Source("2600::1", 65535)),
        (version_2("::ffff:8.8.8.8", 1), Source("8.8.8.8", 1)),
        (version_2("8.8.8.8", 1, more=b"\x04\x00\x03abc\x20\xff"), Source("8.8.8.8", 1)),
        (version_2("8.8.8.8", 1, more=bytes(MAX_BYTES_2 - 28)), Source("8.8.8.8", 1)),
        (version_2("8.8.8.8", 1, transport=0), None),
        (local_2(), None),
        (local_2(b"\x11", b"\x01\x02\x03"), None),
        (SIGNATURE_2 + b"\x21\x00\x00\x00", None),
        (SIGNATURE_2 + b"\x21\x00\x00\x02ab", None),
        (SIGNATURE_2 + b"\x21\x31\x00\xd8" + bytes(216), None),
    ],
)
def test_headers(header: bytes, source: Source | None) -> None:
    assert find(header) == Found(len(header), source)
    assert find(header + REST) == Found(len(header), source)
    for size in range(len(header)):
        assert find(header[:size]) is None
    assert is_header(header)


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 1\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 1 2 3\r\n",
        b"PROXY  TCP4 8.8.8.8 8.8.8.8 1 2\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 1 65536\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 01 2\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 -1 2\r\n",
        b"PROXY TCP4 8.8.8.8 8.8.8.8 1 2\n\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 8.8.8.8 8.8.8.8 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        b"PROXY TCP6 \xff ::1 1 2\r\n",
        b"PROXY UDP4 8.8.8.8 8.8.8.8 1 2\r\n",
        b"PROXY tcp4 8.8.8.8 8.8.8.8 1 2\r\n",
        b"PROXY unknown\r\n",
        b"PROXY /x HTTP/1.1\r\n",
        b"PROXY UNKNOWN".ljust(MAX_BYTES_1, b"x"),
        LONGEST_1[:-2] + b"x\r\n",
        SIGNATURE_2 + b"\x11\x11\x00\x0c",
        SIGNATURE_2 + b"\x22\x11\x00\x0c",
        SIGNATURE_2 + b"\x21\x41\x00\x0c",
        SIGNATURE_2 + b"\x21\x13\x00\x0c",
        SIGNATURE_2 + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE_2 + b"\x21\x21\x00\x23" + bytes(35),
        SIGNATURE_2 + b"\x21\x11" + (MAX_BYTES_2 - 15).to_bytes(2),
        SIGNATURE_2 + b"\x20\x00\xff\xff",
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        find(data)
    assert is_header(data)


@pytest.mark.parametrize(
    "data",
    [
        *(b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"POST", b"PRI * HTTP/2.0", b"proxy TCP4", b"PROXYX", b"\r\nGET"),
        *(b"\r\n\r\nG", b"\r\n\r\n\x00\r\nQUIT\r", b"\x00", b" PROXY "),
    ],
)
def test_what_is_something_else(data: bytes) -> None:
    assert find(data) == NONE
    assert not is_header(data)


@pytest.mark.parametrize("data", [b"", SIGNATURE_1[:5], SIGNATURE_2[:1], SIGNATURE_2[:11]])
def test_what_may_be_one(data: bytes) -> None:
    assert find(data) is None
    assert not is_header(data)


@given(SAME_FAMILY, PORTS, PORTS, st.binary(max_size=40), st.booleans())
def test_whatever_is_written_is_read(
    addresses: tuple[IPAddress, IPAddress], port: int, other: int, rest: bytes, second: bool
) -> None:
    of, to = map(str, addresses)
    header = version_2(of, port, to, other) if second else version_1(of, port, to, other)
    assert find(header + rest) == Found(len(header), Source(str(plain(ipaddress.ip_address(of))), port))


@given(st.sampled_from([b"", SIGNATURE_1, SIGNATURE_2, SIGNATURE_2 + b"\x21\x11\x00"]), st.binary(max_size=300))
def test_nothing_else_is_raised(beginning: bytes, rest: bytes) -> None:
    try:
        found = find(beginning + rest)
    except ProxyHeaderError:
        return
    if found is None:
        assert len(beginning + rest) < MAX_BYTES_2
    else:
        assert found.size <= len(beginning + rest)
        assert found.source is None or socket.inet_pton(
            socket.AF_INET6 if ":" in found.source.address else socket.AF_INET, found.source.address
        )

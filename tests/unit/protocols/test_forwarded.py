"""``Forwarded`` and ``X-Forwarded-For``: hop by hop, from the last on."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgw.protocols.forwarded import (
    MAX_BYTES,
    ForwardingError,
    Hop,
    IPAddress,
    address_of,
    forwarded,
    forwarded_for,
    plain,
)

PORTS = st.one_of(st.none(), st.integers(0, 65535).map(str), st.sampled_from(["_a", "_x-1.y"]))
ADDRESSES = st.ip_addresses().map(plain)
TOKENS = st.text("abcXYZ019.-_~", min_size=1, max_size=12)


def ip(text: str) -> IPAddress:
    return ipaddress.ip_address(text)


def node(address: IPAddress, port: str | None) -> str:
    host = f"[{address}]" if address.version == 6 else str(address)
    return host if port is None else f"{host}:{port}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.60", "192.0.2.60"),
        ("192.0.2.60:47011", "192.0.2.60"),
        ("192.0.2.60:_port", "192.0.2.60"),
        ("[2001:DB8:cafe::17]:4711", "2001:db8:cafe::17"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1", "::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert address_of(text) == ip(address)


@pytest.mark.parametrize("text", ["unknown", "Unknown:80", "_hidden", "_SEVKISEK", "_a.b-c:_p"])
def test_who_hides(text: str) -> None:
    assert address_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:123456", "256.1.1.1"),
        *("[1.2.3.4]", "[::1", "[::1]80", "[::1]:", "::1%eth0", "[fe80::1%25e]", "1::2::3", "name", "_", "un known"),
        *("1.2.3.4 5", "\xb9.2.3.4", "[]", "localhost:80", "'1.2.3.4'"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ForwardingError):
        address_of(text)


def test_the_examples_of_the_rfc() -> None:
    """RFC 7239 section 4."""
    assert list(forwarded([b'for="_gazonk"'])) == [Hop(None)]
    assert list(forwarded([b'For="[2001:db8:cafe::17]:4711"'])) == [Hop(ip("2001:db8:cafe::17"))]
    assert list(forwarded([b"for=192.0.2.60;proto=http;by=203.0.113.43"])) == [Hop(ip("192.0.2.60"), None, "http")]
    assert list(forwarded([b"for=192.0.2.43, for=198.51.100.17"])) == [Hop(ip("198.51.100.17")), Hop(ip("192.0.2.43"))]


@pytest.mark.parametrize(
    ("lines", "hops"),
    [
        ([b"for=1.1.1.1;host=a:8080;proto=https"], [Hop(ip("1.1.1.1"), "a:8080", "https")]),
        ([b'for=1.1.1.1;host="a, for=2.2.2.2;x=\\"y"'], [Hop(ip("1.1.1.1"), 'a, for=2.2.2.2;x="y')]),
        ([b"for=1.1.1.1 ; host=a ,, ;for=2.2.2.2,"], [Hop(ip("2.2.2.2")), Hop(ip("1.1.1.1"), "a")]),
        ([b"for=1.1.1.1", b"for=2.2.2.2"], [Hop(ip("2.2.2.2")), Hop(ip("1.1.1.1"))]),
        ([b"for=1.1.1.1:80, for=[::1]:80"], [Hop(ip("::1")), Hop(ip("1.1.1.1"))]),
        ([b"proto=https"], [Hop(None, None, "https")]),
        ([b""], []),
        ([b" , ;, "], []),
    ],
)
def test_lists(lines: list[bytes], hops: list[Hop]) -> None:
    assert list(forwarded(lines)) == hops


@pytest.mark.parametrize(
    "line",
    [
        *(b"for", b"for=", b"=1.1.1.1", b"1.1.1.1", b'for="1.1.1.1', b'for=1.1.1.1"', b"for=1.1.1.1;for=2.2.2.2"),
        *(b'for="1.1.1.1"x', b"for=1.1.1.1 host=a", b"for =1.1.1.1", b"for= 1.1.1.1", b'for="a\\"', b"for=name"),
        *(b"for=1.1.1.1, x", b'for=""', b"for=1.1.1.1;FOR=1.1.1.1"),
    ],
)
def test_what_is_none(line: bytes) -> None:
    with pytest.raises(ForwardingError):
        list(forwarded([line]))


def test_what_a_client_began_with_does_no_harm_where_it_is_not_come_to() -> None:
    hops = forwarded([b'for="x', b'for="[2001:db8::1]"'])
    assert next(hops) == Hop(ip("2001:db8::1"))
    with pytest.raises(ForwardingError):
        next(hops)
    hops = forwarded_for([b"for, x, 1.1.1.1", b"2.2.2.2"])
    assert [next(hops), next(hops)] == [Hop(ip("2.2.2.2")), Hop(ip("1.1.1.1"))]
    with pytest.raises(ForwardingError):
        next(hops)


def test_a_list_of_addresses() -> None:
    lines = [b" 1.1.1.1:80,,\t[::1]:1 , ", b"unknown"]
    assert list(forwarded_for(lines)) == [Hop(None), Hop(ip("::1")), Hop(ip("1.1.1.1"))]
    assert list(forwarded_for([b"", b" , "])) == []


@pytest.mark.parametrize("of", [forwarded, forwarded_for])
def test_too_much_says_nothing(of: type) -> None:
    with pytest.raises(ForwardingError, match="more than 4096 bytes"):
        next(of([b"," * MAX_BYTES, b","]))
    assert list(of([b"," * MAX_BYTES])) == []


@given(st.lists(st.tuples(ADDRESSES, PORTS, TOKENS, st.text('a,;= "\\\xe9', max_size=8)), max_size=6), st.booleans())
def test_whatever_is_written_is_read(hops: list[tuple[IPAddress, str | None, str, str]], apart: bool) -> None:
    elements, plain = [], []
    for address, port, token, text in hops:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        elements.append(f'for="{node(address, port)}";proto={token};host="{quoted}"'.encode("latin-1"))
        plain.append(node(address, port).encode())
    expected = [Hop(address, text, token) for address, _, token, text in reversed(hops)]
    assert list(forwarded(elements if apart else [b", ".join(elements)])) == expected
    assert list(forwarded_for(plain if apart else [b",".join(plain)])) == [Hop(hop.address) for hop in expected]


@given(st.lists(st.binary(max_size=200), max_size=3), st.booleans())
@example([b'for="\\'], True)
def test_nothing_else_is_raised(lines: list[bytes], standard: bool) -> None:
    try:
        hops = list((forwarded if standard else forwarded_for)(lines))
    except ForwardingError:
        return
    assert all(hop.address is None or not isinstance(hop.address, str) for hop in hops)

"""What proxies say of clients: headers of the PROXY protocol, Forwarded and its kin."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

from fuzz.target import Target, cut, plain, text
from wsgw.access.pages import Pages
from wsgw.access.proxies import Caller, Proxies
from wsgw.config.proxies import UNIX, entry_of
from wsgw.protocols.forwarded import MAX_BYTES
from wsgw.protocols.proxyheader import MAX_BYTES_1, MAX_BYTES_2, Found, ProxyHeaderError, find

PEER, CLIENT = "10.0.0.1", b"8.8.8.8"
PROXIES = [Proxies(), Proxies([]), Proxies(["10.0.0.0/8", "fd00::/8", UNIX]), Proxies([f"{PEER}/32"])]
PAGES = [Pages(["same", "https://a.example"], ["a.example"]), Pages("same", None, ["127.0.0.1"])]
_HEADERS = (b"x-forwarded-for", b"forwarded", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port")


def found_in(pieces: list[bytes]) -> Found | str | None:
    """What is found once enough has come."""
    kept = b""
    for piece in pieces:
        kept += piece
        try:
            found = find(kept)
        except ProxyHeaderError as error:
            return str(error)
        if found is not None:
            return found
        assert len(kept) < max(MAX_BYTES_1, MAX_BYTES_2), "it has to say so sooner"
    return None


def header(data: bytes) -> None:
    found = found_in([data])
    assert found_in(cut(data)) == found
    if isinstance(found, Found):
        assert found.size <= len(data)
        if found.source is not None:
            assert str(ipaddress.ip_address(found.source.address)) == found.source.address
            assert 0 <= found.source.port < 65536


def forwarded(data: bytes) -> None:
    """Each line is a header, its first byte says which."""
    lines = [(_HEADERS[line[0] % len(_HEADERS)], line[1:]) for line in data.split(b"\n") if line]
    for proxies in PROXIES:
        for peer in (PEER, UNIX, "9.9.9.9", ""):
            caller = proxies.caller(peer, lines)
            shown(caller)
            if not proxies.trusts(peer):
                assert caller.client is None
                assert caller.asked is None
    unforged(data)
    with suppress(ValueError):
        ipaddress.ip_network(entry_of(text(data)))


def shown(caller: Caller) -> None:
    if caller.client is not None:
        assert str(ipaddress.ip_address(caller.client)) == caller.client
    if caller.network not in (None, UNIX):
        assert str(ipaddress.ip_network(caller.network)).removesuffix("/32") == caller.network
    if caller.asked is not None:
        assert caller.asked.scheme in (None, "http", "https")
        assert caller.asked.port is None or 0 < caller.asked.port < 65536
        for pages in PAGES:
            verdict = pages.look([(b"host", b"a"), (b"origin", b"https://a.example")], asked=caller.asked)
            if verdict.refusal is not None:
                assert verdict.refusal.isprintable()
                assert verdict.refusal.isascii()


def unforged(data: bytes) -> None:
    """Whatever a client sends, what the proxy appends to it counts."""
    if len(data) + 20 > MAX_BYTES:
        return
    for said in (
        [(b"x-forwarded-for", b"%b, %b" % (data, CLIENT))],
        [(b"x-forwarded-for", data), (b"x-forwarded-for", CLIENT)],
        [(b"forwarded", data), (b"forwarded", b"for=" + CLIENT)],
    ):
        assert PROXIES[2].caller(PEER, said)[:2] == (CLIENT.decode(), CLIENT.decode())


_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HEADER_WORDS = (
    *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"\r\n", b" ", b"65535", b"65536", b"1.2.3.4 ", b"::1 ", _SIGNATURE),
    *(b"\x20", b"\x21\x11\x00\x0c", b"\x21\x21\x00\x24", b"\x21\x31\x00\xd8", b"\xff\xff", b"::ffff:1.2.3.4 "),
    *(b"X-Forwarded-For: ", b"Forwarded: for=", b"X-Forwarded-Host: ", b"X-Forwarded-Proto: https", b"Via: a"),
)
FORWARDED_WORDS = (
    *(b"for=", b"host=", b"proto=", b"by=", b'"', b"\\", b";", b",", b", ", b"=", b"unknown", b"_x", b"10.0.0.2"),
    *(b"8.8.8.8", b"[::1]", b"[2600::1]:80", b":", b"::ffff:8.8.8.8", b"64:ff9b::1.2.3.4", b"%", b"https", b"wss"),
    *(b"\n0", b"\n1", b"\n2", b"\n3", b"\n4", b"443", b"65536", b"a.example", b"unix", b"/8"),
)

TARGETS = (
    Target(
        "proxyheader",
        plain(header),
        (
            b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 443\r\nGET / HTTP/1.1\r\n",
            b"PROXY TCP6 2600::1 ::1 1 2\r\n",
            b"PROXY UNKNOWN a b c\r\nx",
            _SIGNATURE + b"\x21\x11\x00\x0c\x08\x08\x08\x08\x0a\x00\x00\x01\x00\x01\x01\xbbGET",
            _SIGNATURE + b"\x21\x21\x00\x24" + bytes(36),
            _SIGNATURE + b"\x20\x00\x00\x03abc",
        ),
        HEADER_WORDS,
        5000,
    ),
    Target(
        "forwarded",
        plain(forwarded),
        (
            b"01.1.1.1, 8.8.8.8, 10.0.0.2\n2evil, a.example\n3https\n48443",
            b'1for="[2600::1]:80";host="a.example:1";proto=https, for=10.0.0.2;by=_x',
            b"1for=8.8.8.8\n08.8.8.8:1",
            b"0unknown, 10.0.0.2",
        ),
        FORWARDED_WORDS,
        1000,
    ),
)

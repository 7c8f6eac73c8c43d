"""Addresses to listen on: what is understood, what is refused with which words, and which cannot be had together."""

from __future__ import annotations

import pytest

from wsgw.config.addresses import TcpAddress, UnixAddress, address_of, addresses_of, clash


@pytest.mark.parametrize(
    ("entry", "address", "shown"),
    [
        ("127.0.0.1:3007", TcpAddress("127.0.0.1", 3007), "127.0.0.1:3007"),
        ("[::]:3007", TcpAddress("::", 3007), "[::]:3007"),
        (":::3007", TcpAddress("::", 3007), "[::]:3007"),
        ("localhost:0", TcpAddress("localhost", 0), "localhost:0"),
        ("unix:/run/w.sock", UnixAddress("/run/w.sock", 0o660), "unix:/run/w.sock"),
        ("unix:/run/w.sock?mode=600", UnixAddress("/run/w.sock", 0o600), "unix:/run/w.sock"),
        ("unix:/run/w.sock?mode=0666", UnixAddress("/run/w.sock", 0o666), "unix:/run/w.sock"),
    ],
)
def test_an_address(entry: str, address: TcpAddress | UnixAddress, shown: str) -> None:
    assert address_of(entry) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("h", "'h' is not HOST:PORT or unix:/PATH"),
        ("h:٣", "is not HOST:PORT"),
        ("2001:db8::1", "is not HOST:PORT; an address of IPv6 is in brackets: [::1]:3007"),
        ("::1", "an address of IPv6 is in brackets"),
        ("unix:run/a", "is not unix:/PATH, from the root on"),
        ("unix:/a?mode=9", "three octal digits such as ?mode=660"),
        ("unix:/a?mode=1777", "three octal digits"),
        ("unix:/a?mod=660", "behind the path there may be ?mode=660, and no other ?"),
        ("unix:/" + "a" * 107, "has at most 107 bytes"),
        ("unix:/" + "é" * 54, "has at most 107 bytes"),
        ("unix:/a\0b", "no control characters"),
        ("unix:/a\nb", "no control characters"),
        ("unix:/a/", "no slash at its end"),
        ("unix:@a", "is not unix:/PATH, from the root on"),
        ("[[::1]]:1", "is not HOST:PORT"),
        ("[127.0.0.1]:1", "an address of IPv6 is in brackets"),
        ("[::ffff:127.0.0.1]:1", "is an address of IPv4: write 127.0.0.1:1"),
        ("h:70000", "is not HOST:PORT"),
        (".:1", "has no host's name or address in front of its port"),
        ("a" * 64 + ":1", "has no host's name"),
        (" h:1", "has no host's name"),
        ("a\x1bb:1", r"'a\x1bb:1' has no host's name"),
        ("*:1", "has no host's name"),
        ("127.1:1", "has no host's name"),
        ("0x7f000001:1", "has no host's name"),
        ("256.1.1.1:1", "has no host's name"),
    ],
)
def test_what_is_no_address(entry: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        address_of(entry)
    assert reason in str(refused.value)


TOGETHER = (
    ("127.0.0.1:1", "127.0.0.1:2"),
    ("127.0.0.1:1", "127.0.0.2:1", "[::1]:1"),
    ("[::]:1", "0.0.0.0:1"),
    ("[::]:1", "127.0.0.1:1"),
    ("localhost:0", "127.0.0.1:0", "[::]:0"),
    ("unix:/a", "unix:/a/b", "h:1"),
    ("h:1", "i:1", "0.0.0.0:1"),
)
NOT_TOGETHER = (
    ("127.0.0.1:1", "0.0.0.0:1"),
    ("0.0.0.0:1", "127.0.0.1:1"),
    ("[::]:1", "[::1]:1"),
    ("localhost:1", "127.0.0.1:1"),
    ("localhost:1", "[::1]:1"),
    ("localhost:1", "0.0.0.0:1"),
    ("localhost:1", "[::]:1"),
    ("localhost:1", "LocalHost:1"),
    ("h:1", "H:1"),
    ("[::1]:1", "[0:0::1]:1"),
    ("unix:/a/b", "unix:/a/./b"),
    ("unix:/a/b", "unix:/a//b?mode=600"),
)


@pytest.mark.parametrize("entries", TOGETHER)
def test_what_can_be_had_together(entries: tuple[str, ...]) -> None:
    assert clash(addresses_of(entries)) is None


@pytest.mark.parametrize("entries", NOT_TOGETHER)
def test_what_cannot(entries: tuple[str, ...]) -> None:
    assert clash(addresses_of(entries)) == addresses_of(entries)
    one, other = entries
    assert clash(addresses_of(one), addresses_of(other)) == addresses_of(entries)


def test_of_two_settings_one_has_all_of_both_families() -> None:
    both, ipv4 = addresses_of("[::]:1"), addresses_of("127.0.0.1:1")
    assert clash(both, ipv4) == both + ipv4
    assert clash(addresses_of(["[::]:1", "0.0.0.0:1"]), addresses_of("[::1]:1")) == both + addresses_of("[::1]:1")
    assert clash(addresses_of(["unix:/a", "h:1"]), addresses_of(["h:2", "unix:/b"])) is None

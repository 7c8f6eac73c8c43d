"""Addresses to listen on, and base paths: what is understood, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from wsgw.config.listening import TcpAddress, UnixAddress, address_of
from wsgw.config.load import load
from wsgw.errors import ConfigError


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


def test_many() -> None:
    settings = load({"listen": ["[::]:80", "unix:/s", "h:0", "h:0"], "port": None}, {})
    assert settings.addresses == (TcpAddress("::", 80), UnixAddress("/s"), TcpAddress("h", 0), TcpAddress("h", 0))


@pytest.mark.parametrize("listen", ["h:1", ["h:1"], ["unix:/s", "h:1"]])
def test_the_port_is_that_of_the_one_that_has_a_port(listen: str | list[str]) -> None:
    assert TcpAddress("h", 7) in load({"listen": listen, "port": 7}, {}).addresses


@pytest.mark.parametrize(("listen", "count"), [(["h:1", "i:1"], 2), ("unix:/s", 0)])
def test_a_port_that_is_of_none_or_many(listen: Any, count: int) -> None:
    with pytest.raises(ConfigError, match=f"^environment: port: 'listen' has {count} addresses with a port"):
        load({"listen": listen}, {"WSGW_SERVER_PORT": "7"})


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("h", "'h' is not HOST:PORT or unix:/PATH"),
        ("h:٣", "is not HOST:PORT"),
        ("2001:db8::1", "is not HOST:PORT; an address of IPv6 is in brackets: [::1]:3007"),
        ("::1", "an address of IPv6 is in brackets"),
        ([], "one address is expected here"),
        (["h:1"] * 33, "a list of at most 32"),
        (["h:1", "h:x"], "'h:x' is not HOST:PORT"),
        (["h:1", "h:1"], "'h:1' is there twice"),
        (["unix:/a", "unix:/a?mode=600"], "'unix:/a?mode=600' is there twice"),
        ("unix:run/a", "is not unix:/PATH, from the root on"),
        ("unix:/a?mode=9", "three octal digits such as ?mode=660"),
        ("unix:/a?mode=1777", "three octal digits"),
        ("unix:/a?mod=660", "behind the path there may be ?mode=660, and no other ?"),
        ("unix:/" + "a" * 107, "has at most 107 bytes"),
        ("unix:/a\0b", "has at most 107 bytes"),
    ],
)
def test_what_is_no_address(listen: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({"listen": listen}, {})
    assert str(refused.value).startswith("command line: listen: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize("base", ["/rt", "/a/b-c.d_e~1", "/RT"])
def test_a_base_path(base: str) -> None:
    assert load({"base_path": base}, {}).base_path == base


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (None, "a value is expected here"),
        ("rt", "is not a path such as /rt"),
        ("", "is not a path such as /rt"),
        ("/", "leave it out"),
        ("/rt/", "ends with a slash"),
        ("//rt", "has more in it"),
        ("/a//b", "has more in it"),
        ("/..", "has more in it"),
        ("/a/./b", "has more in it"),
        ("/a%2fb", "has more in it"),
        ("/a b", "has more in it"),
        ("/é", "has more in it"),
        ("/" + "a" * 64, "of at most 64 characters"),
    ],
)
def test_what_is_no_base_path(base: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"^command line: base_path: ") as refused:
        load({"base_path": base}, {})
    assert reason in str(refused.value)

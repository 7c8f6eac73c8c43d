"""Under which names a gateway may be asked."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.hosts import Hosts

LOOPBACK = ["127.0.0.1", "::1", "localhost", "127.1.2.3"]
ELSEWHERE = ["0.0.0.0", "::", "10.0.0.1", "gateway"]


@pytest.mark.parametrize("listening", LOOPBACK)
@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (None, True),
        ("localhost", True),
        ("LOCALHOST.:3007", True),
        ("127.0.0.1:3007", True),
        ("10.0.0.1", True),
        ("[::1]:3007", True),
        ("[::ffff:1.2.3.4]:3007", True),
        ("gateway:3007", True),
        ("evil.example", False),
        ("evil.example:3007", False),
        ("evil.example.", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.1", False),
        ("", False),
        (":3007", False),
        ("localhost, evil.example", False),
        ("evil.example@localhost", False),
        ("localhost:x", False),
        ("[::1", False),
    ],
)
def test_on_loopback(listening: str, host: str | None, allowed: bool) -> None:
    assert Hosts([listening], None).allows(host) is allowed
    assert Hosts([listening], []).allows(host) is allowed


@pytest.mark.parametrize("listening", ELSEWHERE)
def test_elsewhere_where_there_are_names(listening: str) -> None:
    for host in ("evil.example", "", "a b", "localhost", None):
        assert Hosts([listening], None).allows(host)
    for named in ([], ["localhost"]):
        hosts = Hosts([listening], named)
        assert not hosts.allows("evil.example:3007")
        assert hosts.allows("gateway:3007"), "which Prometheus asks by in the compose project"
        assert hosts.allows("10.0.0.1")
        assert hosts.allows("localhost:3007")


@pytest.mark.parametrize("listening", [*LOOPBACK, *ELSEWHERE])
def test_names(listening: str) -> None:
    hosts = Hosts([listening], ["rt.example", "*.app.example"])
    for host in ("rt.example", "RT.example.:443", "a.app.example", "a.b.app.example:3007"):
        assert hosts.allows(host)
    for host in ("a.rt.example", "app.example", "xrt.example", "rt.example.evil"):
        assert not hosts.allows(host)


def test_loopback_only_is_all_of_them() -> None:
    assert not Hosts(["127.0.0.1", "::1"], None).allows("evil.example")
    assert Hosts(["127.0.0.1", "10.0.0.1"], None).allows("evil.example")
    assert Hosts([], None).allows("evil.example"), "behind a proxy, by unix sockets alone"


def test_by_a_unix_socket_a_proxy_asks_by_any_name_where_none_are_named() -> None:
    assert Hosts(["127.0.0.1"], None).allows("rt.example", proxied=True)
    assert not Hosts(["127.0.0.1"], None).allows("rt.example")
    for listening in (["127.0.0.1"], []):
        assert not Hosts(listening, ["rt.example"]).allows("evil.example", proxied=True)
        assert Hosts(listening, ["rt.example"]).allows("rt.example", proxied=True)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_addresses_are_nobodys_names(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    host = str(address) if address.version == 4 else f"[{address}]"
    assert Hosts(["127.0.0.1"], None).allows(host)
    assert Hosts(["127.0.0.1"], None).allows(f"{host}:{port}")


@given(st.text(max_size=40))
def test_nothing_is_raised_and_what_has_a_dot_is_an_address(host: str) -> None:
    if Hosts(["::1"], None).allows(host) and "." in host.removesuffix("."):
        name = host.rpartition(":")[0] if host.count(":") == 1 else host
        if not host.startswith("["):
            ipaddress.ip_address(name.removesuffix(".") or host)

"""Names of hosts, and patterns of them."""

from __future__ import annotations

import ipaddress
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wsgw.config.file import ConfigFile
from wsgw.config.hosts import HostPatterns, entry_of, is_address, is_loopback, normal, pattern_of, split_port
from wsgw.config.load import load
from wsgw.errors import ConfigError

LABELS = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost:3007", "localhost", 3007),
        ("localhost.:3007", "localhost", 3007),
        ("a.b.Example", "a.b.example", None),
        ("a:", "a", None),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]", "[::1]", None),
        ("[0:0::1]:65535", "[::1]", 65535),
        ("[FE80::A]:80", "[fe80::a]", 80),
        ("x_y-z", "x_y-z", None),
        ("a" * 63, "a" * 63, None),
    ],
)
def test_host_and_port(text: str, host: str, port: int | None) -> None:
    assert split_port(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        ".",
        "a..b",
        ".a",
        "a:0",
        "a:65536",
        "a:99999",
        "a:x",
        "a:1:2",
        "a b",
        "a,b",
        "é",
        "a/b",
        "a@b",
        "::1",
        "[",
        "[]",
        "[::1",
        "::1]",
        "[::1]x",
        "[::g]",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "a\n",
        "*.a",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "a:1\n",
        "\u0130",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_port(text)


@given(NAMES, st.integers(1, 65535))
def test_names_stay_what_they_are(name: str, port: int) -> None:
    assert split_port(f"{name.upper()}.:{port}") == (name, port)
    assert normal(name) == name


@given(st.ip_addresses())
def test_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = str(address) if address.version == 4 else f"[{address.exploded}]"
    assert is_address(normal(text))
    assert is_loopback(str(address)) is address.is_loopback


@given(st.text(max_size=40))
def test_nothing_else_is_raised(text: str) -> None:
    for read in (split_port, pattern_of, entry_of):
        try:
            read(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  some are good


@pytest.mark.parametrize(
    ("host", "address"),
    [("localhost", False), ("a.b", False), ("1.2.3.4", True), ("1.2.3", False), ("1.2.3.4.5", False), ("[::1]", True)],
)
def test_what_is_an_address(host: str, address: bool) -> None:
    assert is_address(host) is address


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("gateway", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_patterns() -> None:
    hosts = HostPatterns(map(entry_of, ["App.example", "*.Wide.example", "::1", "10.0.0.1", "*.b"]))
    for host in ("app.example", "a.wide.example", "a.b.wide.example", "[::1]", "10.0.0.1", "a.b"):
        assert host in hosts
    for host in ("a.app.example", "wide.example", "awide.example", "wide.example.evil", "b", "[::2]", "app.exampl"):
        assert host not in hosts
    assert "a" not in HostPatterns([])
    assert "1.2.3.4" not in HostPatterns(["*.4"]), "an address has no labels"


@given(NAMES, NAMES)
def test_a_wildcard_is_one_or_more_labels(name: str, below: str) -> None:
    assume(not is_address(name))
    hosts = HostPatterns([pattern_of(f"*.{name}")])
    assert (f"{below}.{name}" in hosts) is not is_address(f"{below}.{name}")
    assert name not in hosts or name.endswith(f".{name}")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("https://a.b", "is a URL; the host's name alone is expected"),
        ("a.b/", "is a URL; the host's name alone is expected"),
        ("a.b:80", "has a port, which is not looked at: leave it out"),
        ("[::1]:80", "has a port, which is not looked at: leave it out"),
        ("a.*", "has a * that is not its first label, where it stands for one or more of them"),
        ("*", "has a * that is not its first label, where it stands for one or more of them"),
        ("*.*.a", "has a * that is not its first label, where it stands for one or more of them"),
        ("*a.b", "has a * that is not its first label, where it stands for one or more of them"),
        ("*.", "has no host's name or address in it"),
        ("a b", "has no host's name or address in it"),
        ("*.1.2.3.4", "has a * in front of an address"),
        ("bücher.example", "has letters that browsers send otherwise: write xn--bcher-kva.example"),
        ("é" * 64, "has letters that browsers send otherwise"),
    ],
)
def test_bad_entries_are_named(entry: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, {}, ConfigFile("x", {"hosts": ["fine", entry]}))
    assert str(caught.value) == f"x: hosts: {entry!r} {reason}"


def test_the_setting() -> None:
    def hosts(value: object) -> list[str] | None:
        return load({}, {}, ConfigFile("x", {"hosts": value})).hosts

    assert load({}, {}).hosts is None
    assert hosts(["A.b", "*.C.d", "::1", "[::1]"]) == ["a.b", "*.c.d", "[::1]", "[::1]"]
    assert hosts("a.b") == ["a.b"]
    assert hosts([]) == []
    for bad in (5, {"a": "b"}, [5], [["a"]]):
        with pytest.raises(
            ConfigError, match=r"^x: hosts: .* (is not a host's name|is expected here)$|^x: hosts: a list"
        ):
            hosts(bad)
    with pytest.raises(ConfigError, match=r"^x: hosts: a value is expected here; leave the key out"):
        hosts(None)  # what was in it is commented out: not every name

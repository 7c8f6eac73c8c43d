"""Settings of where to listen, and base paths: what is understood, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from wsgw.config.addresses import TcpAddress, UnixAddress
from wsgw.config.load import load
from wsgw.errors import ConfigError


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
        ([], "one address is expected here"),
        (["h:1"] * 33, "a list of at most 32"),
        (["h:1", "h:x"], "'h:x' is not HOST:PORT"),
        (["h:1", "h:1"], "'h:1' is there twice"),
        (["unix:/a", "unix:/a?mode=600"], "'unix:/a' is there twice"),
        (["127.0.0.1:1", "0.0.0.0:1"], "'127.0.0.1:1' and '0.0.0.0:1' cannot both be had: they overlap"),
    ],
)
def test_what_is_no_list_of_addresses(listen: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({"listen": listen}, {})
    assert str(refused.value).startswith("command line: listen: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("listen", "admin", "by"),
    [
        ("127.0.0.1:3007", "127.0.0.1:3007", ""),
        ("127.0.0.1:1", "0.0.0.0:3007", ", by '127.0.0.1:3007'"),
        (["unix:/s", "[::]:3007"], ["127.0.0.1:9", "127.0.0.1:3007"], r", by '\[::\]:3007'"),
        ("unix:/s", "unix:/s", ""),
        ("unix:/s", "unix://./s", ", by 'unix:/s'"),
    ],
)
def test_one_place_is_not_for_clients_and_operators(listen: Any, admin: Any, by: str) -> None:
    port = None if listen == "unix:/s" else 3007
    found = f"^command line: admin.listen: '[^']*' is where clients are listened for{by}$"
    with pytest.raises(ConfigError, match=found):
        load({"listen": listen, "port": port, "admin": {"listen": admin}}, {})


def test_free_ports_are_for_both() -> None:
    assert load({"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}}, {}).admin is not None


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
        ("/rt?a", "has more in it"),
        ("/rt#a", "has more in it"),
        ("/rt/../a", "has more in it"),
        ("/é", "has more in it"),
        ("/" + "a" * 64, "of at most 64 characters"),
    ],
)
def test_what_is_no_base_path(base: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"^command line: base_path: ") as refused:
        load({"base_path": base}, {})
    assert reason in str(refused.value)

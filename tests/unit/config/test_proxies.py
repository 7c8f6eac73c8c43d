"""Whose word is taken on who a client is: what the configuration may say."""

from __future__ import annotations

from typing import Any

import pytest

from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.proxies import MAX_PROXIES, entry_of
from wsgw.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("fd00::/8", "fd00::/8"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("unix", "unix"),
    ],
)
def test_entries(text: str, entry: str) -> None:
    assert entry_of(text) == entry


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nginx", "'nginx' is no IP address, network such as 10.0.0.0/8, or 'unix'; names are not looked up"),
        (["10.0.0.1/8"], "'10.0.0.1/8' is an address within a network: write 10.0.0.0/8 for that, or 10.0.0.1"),
        (["10.0.0.1/33"], "'10.0.0.1/33' has no length of a prefix behind its slash: write 10.0.0.1 for the address"),
        (["0.0.0.0/0"], "'0.0.0.0/0' is everybody, and everybody could say to be anybody; name the proxies"),
        (["::/0"], "'::/0' is everybody"),
        (["::ffff:0:0/96"], "'::ffff:0:0/96' is everybody"),
        (["10.0.0.1:80"], "'10.0.0.1:80' is no IP address"),
        (["[::1]"], "'[::1]' is an address with brackets, a port or a zone; leave these out"),
        (["fe80::1%eth0"], "'fe80::1%eth0' is an address with brackets, a port or a zone"),
        (["unix:/run/x.sock"], "'unix:/run/x.sock' is no IP address"),
        ([10], "10 is no IP address, network or 'unix'"),
        ({"a": 1}, "a list of addresses and networks is expected here"),
        (None, "a value is expected here"),
        (["10.0.0.1"] * (MAX_PROXIES + 1), "at most 1000 addresses and networks are expected here"),
    ],
)
def test_mistakes(value: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environment={}, file=ConfigFile("x", {"trusted_proxies": value}))
    assert f"trusted_proxies: {reason}" in str(caught.value)


def test_none_is_not_the_same_as_not_given() -> None:
    assert load(environment={}).trusted_proxies is None
    assert load(environment={}, file=ConfigFile("x", {"trusted_proxies": []})).trusted_proxies == []
    assert load(environment={}, file=ConfigFile("x", {"trusted_proxies": " ::1 "})).trusted_proxies == ["::1/128"]

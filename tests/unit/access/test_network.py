"""As what addresses count, and in which networks they are."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.network import Networks, network_of, parsed


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("64:ff9b::808:808", "8.8.8.8"),
        ("64:ff9b:1::808:808", "64:ff9b:1::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_what_counts(text: str, counted: str) -> None:
    address = parsed(text)
    assert address is not None
    assert network_of(address) == counted


@pytest.mark.parametrize("text", ["", "unix", "testclient", "1.2.3", "1.2.3.4/32", "[::1]"])
def test_what_is_no_address(text: str) -> None:
    assert parsed(text) is None


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_two_of_one_network_count_as_one(one: ipaddress.IPv6Address, other: ipaddress.IPv6Address) -> None:
    same = int(one) >> 64 == int(other) >> 64
    if not any(each in ipaddress.IPv6Network("64:ff9b::/96") for each in (one, other)):
        assert (network_of(one) == network_of(other)) == same


NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(1, 32)), st.tuples(st.ip_addresses(v=6), st.integers(1, 128))
).map(lambda each: ipaddress.ip_network(each, strict=False))


@given(st.lists(NETWORKS, max_size=8), st.ip_addresses(), st.data())
def test_a_set_of_networks(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    data: st.DataObject,
) -> None:
    every = Networks(map(str, networks))
    if networks:
        within = data.draw(st.sampled_from(networks))
        offset = data.draw(st.integers(0, within.num_addresses - 1))
        assert within.network_address + offset in every
    assert (address in every) == any(address in each for each in networks if each.version == address.version)

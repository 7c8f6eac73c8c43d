"""Ports for servers that are away now and then."""

from __future__ import annotations

from helpers.ports import free_port, is_free, lasting_port


def test_a_lasting_port_is_free_and_none_that_the_system_gives() -> None:
    ports = {lasting_port() for _ in range(20)}
    assert all(map(is_free, ports))
    assert max(ports) < min(free_port() for _ in range(50))

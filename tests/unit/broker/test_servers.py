"""Which server is tried next."""

from __future__ import annotations

import pytest

from wsgw.broker.servers import Servers, address_of, masked

A, B, C, D = (f"nats://{name}:1" for name in "abcd")


def test_in_turn() -> None:
    servers = Servers([A, B])
    assert list(servers) == [A, B]
    servers.put_last(A)
    assert list(servers) == [B, A]
    servers.put_last("nats://z:1")
    assert list(servers) == [B, A]


def test_those_told_of_come_behind_those_configured() -> None:
    servers = Servers(["nats://user:secret@a:1", B])
    servers.discovered([C, A, D])
    assert list(servers)[2:] == [C, D]
    servers.put_last(C)
    assert list(servers)[2:] == [D, C]
    servers.discovered([C])
    assert list(servers)[2:] == [C]


def test_who_tries_them_may_change_their_turns() -> None:
    servers = Servers([A, B])
    for url in servers:
        servers.put_last(url)
    assert list(servers) == [A, B]


def test_address_of() -> None:
    assert address_of("tls://user:p%40ss@[::1]:4222") == "[::1]:4222"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://host:4222", "nats://host:4222"),
        ("nats://user:pass@host:4222", "nats://user:***@host:4222"),
        ("tls://token@host", "tls://***@host"),
        ("nats://us%40er:p%40ss@[::1]:4222", "nats://us%40er:***@[::1]:4222"),
    ],
)
def test_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_those_told_of_by_address_have_a_name() -> None:
    servers = Servers(["tls://a:1"])
    servers.discovered(["tls://10.0.0.1:1", "tls://t@[::1]:1", "tls://b:1", "tls://a:1"], "a")
    assert [servers.known_as(url) for url in servers] == ["", "a", "a", ""]
    assert servers.known_as("tls://10.0.0.2:1") == "", "of which nobody told"
    servers.discovered(["tls://10.0.0.1:1"])
    assert servers.known_as("tls://10.0.0.1:1") == ""
    servers.discovered(["tls://10.0.0.1:1"], "10.0.0.2")
    assert servers.known_as("tls://10.0.0.1:1") == "", "each by its own"

"""Who a client is."""

from __future__ import annotations

import gc

import pytest

from wsgw.access.principal import Principal
from wsgw.protocols.handshake import Handshake


def test_until_it_is_settled_the_handshake_is_there() -> None:
    handshake = Handshake("/ws/IN", b"a=1", [(b"cookie", b"secret")], "10.0.0.1")
    principal = Principal("websocket", handshake)
    assert principal.handshake is handshake
    principal.settle()
    principal.settle()
    assert principal.handshake is None
    assert (principal.transport, principal.client, principal.network) == ("websocket", "10.0.0.1", None)


def test_what_it_counts_as() -> None:
    principal = Principal("websocket", Handshake("/ws/IN", b"", (), "2600:1:2:3::4", "2600:1:2:3::/64"))
    principal.settle()
    assert (principal.client, principal.network) == ("2600:1:2:3::4", "2600:1:2:3::/64")


def test_nothing_of_it_is_kept() -> None:
    handshake = Handshake("/ws/IN", b"", [(b"cookie", b"secret")], "10.0.0.1")
    principal = Principal("websocket", handshake)
    principal.settle()
    assert handshake not in gc.get_referents(principal)


@pytest.mark.parametrize(("client", "shown"), [("10.0.0.1", "http 10.0.0.1"), ("", "http")])
def test_in_the_log(client: str, shown: str) -> None:
    assert str(Principal("http", Handshake("/", b"", (), client))) == shown

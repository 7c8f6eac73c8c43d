"""The rules that come with the gateway."""

from __future__ import annotations

import pytest

from wsgw.access.identity import Identity
from wsgw.access.principal import Principal
from wsgw.access.rights import rights_of
from wsgw.access.rules import AllowAll, IdentityRules, Rules
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.errors import UNAUTHENTICATED, GatewayError
from wsgw.protocols.handshake import Handshake


@pytest.mark.parametrize("use", Use)
def test_without_authentication_everybody_may(use: Use) -> None:
    rules: Rules = AllowAll()
    anybody = Principal("http", Handshake("/", b"", (), ""))
    assert rules.allow(anybody, use, Channel("chat.*", Direction.BOTH), "chat.1")


def test_with_authentication_nobody_may_who_was_not_identified() -> None:
    rules: Rules = IdentityRules()
    client = Principal("http", Handshake("/", b"", (), ""))
    channel = Channel("chat.*", Direction.BOTH)
    with pytest.raises(GatewayError) as refused:
        rules.admit(client)
    assert refused.value.kind is UNAUTHENTICATED
    assert not rules.allow(client, Use.PUBLISH, channel, "chat.1")
    client.identity = Identity("alice", rights_of({"publish": ["chat.1"]}))
    rules.admit(client)
    assert rules.allow(client, Use.PUBLISH, channel, "chat.1")
    assert not rules.allow(client, Use.PUBLISH, channel, "chat.2")
    assert not rules.allow(client, Use.SUBSCRIBE, channel, "chat.1")
    assert str(client) == "http 'alice'"

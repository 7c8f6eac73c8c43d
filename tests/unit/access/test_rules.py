"""The rules that come with the gateway."""

from __future__ import annotations

import pytest

from wsgw.access.principal import Principal
from wsgw.access.rules import AllowAll, Rules
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.protocols.handshake import Handshake


@pytest.mark.parametrize("use", Use)
def test_without_authentication_everybody_may(use: Use) -> None:
    rules: Rules = AllowAll()
    anybody = Principal("http", Handshake("/", b"", (), ""))
    assert rules.allow(anybody, use, Channel("chat.*", Direction.BOTH), "chat.1")

"""What a plain WebSocket client gets for a payload."""

from __future__ import annotations

import pytest

from helpers.fanout import IN
from wsgw.fanout.publication import Publication
from wsgw.protocols.websocket.wire import WEBSOCKET_WIRE


@pytest.mark.parametrize(
    ("payload", "is_text"),
    [(b"", True), (b"abc", True), ("é\ufeff".encode(), True), (b"\xff", False), (b"a\xc3", False)],
)
def test_wire(payload: bytes, is_text: bool) -> None:
    (message,) = WEBSOCKET_WIRE.encode(IN, "IN", Publication("IN", payload, 0.0)).messages
    assert message == (is_text, payload)

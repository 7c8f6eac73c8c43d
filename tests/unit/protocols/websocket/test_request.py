"""What a WebSocket handshake asks for."""

from __future__ import annotations

import pytest

from wsgw.channels.start import NOW, Start
from wsgw.errors import GatewayError
from wsgw.protocols.websocket.request import ENVELOPE_PROTOCOL, WebSocketRequest, websocket_request


@pytest.mark.parametrize(
    ("query", "offered", "wanted"),
    [
        ({}, (), WebSocketRequest(False, None, NOW)),
        ({"envelope": "0"}, ("other",), WebSocketRequest(False, None, NOW)),
        ({"envelope": "1", "after": "x"}, (), WebSocketRequest(True, None, Start(after={}))),
        ({}, ("other", ENVELOPE_PROTOCOL), WebSocketRequest(True, ENVELOPE_PROTOCOL, NOW)),
        ({"last": "3"}, (), WebSocketRequest(False, None, Start(last=3))),
    ],
)
def test_requests(query: dict[str, str], offered: tuple[str, ...], wanted: WebSocketRequest) -> None:
    assert websocket_request(query, offered) == wanted


def test_a_position_needs_an_envelope() -> None:
    with pytest.raises(GatewayError, match="needs envelope=1"):
        websocket_request({"after": "1"}, ())

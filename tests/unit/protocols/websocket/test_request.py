"""What a WebSocket handshake asks for."""

from __future__ import annotations

import pytest

from wsgw.channels.start import NOW, Start
from wsgw.errors import GatewayError
from wsgw.protocols.websocket.request import ENVELOPE_PROTOCOL, WebSocketRequest, any_of, websocket_request


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


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        ((), None),
        (("",), None),
        (("", "a", "b"), "a"),
        (("bearer", "token"), "bearer"),
        (("token", "bearer"), "bearer"),
        (("token", "bearer", ENVELOPE_PROTOCOL), ENVELOPE_PROTOCOL),
    ],
)
def test_a_token_is_never_answered_with(offered: tuple[str, ...], wanted: str | None) -> None:
    assert any_of(offered) == wanted

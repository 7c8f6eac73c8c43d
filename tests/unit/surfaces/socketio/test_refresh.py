"""The token in a CONNECT's payload."""

from __future__ import annotations

import pytest

from wsgw.errors import UNAUTHENTICATED, GatewayError
from wsgw.protocols.socketio.arguments import Json
from wsgw.surfaces.socketio.refresh import MAX_AUTH_CHARS, token_of


@pytest.mark.parametrize(
    ("auth", "token"),
    [
        (None, None),
        ("{}", None),
        ('{"pid":"a","offset":"b"}', None),
        ('{"token":null}', None),
        ('{"token":"a.b.c","pid":"x"}', "a.b.c"),
        ('{"a":{"token":"inner"}}', None),
    ],
)
def test_what_there_is(auth: str | None, token: str | None) -> None:
    assert token_of(None if auth is None else Json(auth)) == token


@pytest.mark.parametrize(
    "auth",
    [
        '{"token":1}',
        '{"token":{}}',
        '{"token":"\\ud800"}',
        '["token"]',
        '{"token":"' + "x" * MAX_AUTH_CHARS + '"}',
    ],
)
def test_what_is_none(auth: str) -> None:
    with pytest.raises(GatewayError) as refused:
        token_of(Json(auth))
    assert refused.value.kind is UNAUTHENTICATED
    assert len(refused.value.message) < 200

"""Where a request has its token, and what can be none."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tokens import shown
from wsgw.access.bearer import Bearer
from wsgw.access.compact import MAX_TOKEN_BYTES
from wsgw.errors import UNAUTHENTICATED, GatewayError
from wsgw.protocols.handshake import Handshake

BEARER = Bearer("wsgw_token", "token")
AUTHORIZATION, PROTOCOLS, COOKIE = (
    ("Authorization", "Bearer header"),
    ("Sec-WebSocket-Protocol", "bearer, protocol"),
    ("Cookie", "wsgw_token=cookie"),
)


@pytest.mark.parametrize(
    ("handshake", "token"),
    [
        (shown(), None),
        (shown(("Authorization", "Bearer a.b.c")), "a.b.c"),
        (shown(("Authorization", "bearer  a.b.c ")), "a.b.c"),
        (shown(("Sec-WebSocket-Protocol", "bearer, a.b.c")), "a.b.c"),
        (shown(("Sec-WebSocket-Protocol", "wsgw.envelope.v1,bearer,a.b.c")), "a.b.c"),
        (shown(("Sec-WebSocket-Protocol", "bearer, a.b.c, wsgw.envelope.v1")), "a.b.c"),
        (shown(("Sec-WebSocket-Protocol", "bearer"), ("Sec-WebSocket-Protocol", "a.b.c")), "a.b.c"),
        (shown(("Sec-WebSocket-Protocol", "wsgw.envelope.v1")), None),
        (shown(("Cookie", "a=b; wsgw_token=a.b.c; c=d")), "a.b.c"),
        (shown(("Cookie", 'wsgw_token="a.b.c"')), "a.b.c"),
        (shown(("Cookie", "wsgw_token=a.b.c; wsgw_token=other")), "a.b.c"),
        (shown(("Cookie", "a=b"), ("Cookie", "wsgw_token=a.b.c")), "a.b.c"),
        (shown(("Cookie", "xwsgw_token=a; wsgw_tokens=b; a")), None),
        (shown(("Cookie", "wsgw_token=")), None),
        (shown(query="a=b&token=a.b.c"), "a.b.c"),
        (shown(query="a=b"), None),
        (shown(AUTHORIZATION, PROTOCOLS, COOKIE, query="token=query"), "header"),
        (shown(PROTOCOLS, COOKIE, query="token=query"), "protocol"),
        (shown(COOKIE, query="token=query"), "cookie"),
        (shown(("Cookie", "wsgw_token="), query="token=query"), "query"),
    ],
)
def test_where_it_is(handshake: Handshake, token: str | None) -> None:
    assert BEARER.find(handshake) == token


def test_only_where_it_may_be() -> None:
    nowhere = Bearer(None, None)
    assert nowhere.find(shown(COOKIE, query="token=query")) is None
    assert nowhere.find(shown(AUTHORIZATION)) == "header"


@pytest.mark.parametrize(
    ("handshake", "message"),
    [
        (shown(("Authorization", "Basic dXNlcjpwYXNz")), "'Bearer TOKEN'"),
        (shown(("Authorization", "Bearer")), "'Bearer TOKEN'"),
        (shown(("Authorization", "")), "'Bearer TOKEN'"),
        (shown(("Authorization", "a.b.c")), "'Bearer TOKEN'"),
        (shown(("Authorization", "Bearer a b")), "'Bearer TOKEN'"),
        (shown(AUTHORIZATION, AUTHORIZATION), "'Bearer TOKEN'"),
        (shown(("Sec-WebSocket-Protocol", "wsgw.envelope.v1, bearer")), "no token is offered"),
        (shown(("Sec-WebSocket-Protocol", "bearer,,x")), "no token is offered"),
        (shown(query="token="), "is empty"),
        (shown(("Authorization", "Bearer " + "a" * (MAX_TOKEN_BYTES + 1))), "longer than"),
        (shown(("Cookie", "wsgw_token=" + "a" * (MAX_TOKEN_BYTES + 1))), "longer than"),
        (shown(("Sec-WebSocket-Protocol", "bearer," + "a" * (MAX_TOKEN_BYTES + 1))), "longer than"),
        (shown(query="token=" + "a" * (MAX_TOKEN_BYTES + 1)), "longer than"),
        (shown(("Authorization", "Basic x"), COOKIE), "'Bearer TOKEN'"),  # the first one counts, also when it is bad
    ],
)
def test_what_can_be_no_token(handshake: Handshake, message: str) -> None:
    with pytest.raises(GatewayError, match=message) as caught:
        BEARER.find(handshake)
    assert caught.value.kind is UNAUTHENTICATED
    assert "dXNlcjpwYXNz" not in caught.value.message


@given(st.text(alphabet=st.characters(max_codepoint=255)), st.text(alphabet=st.characters(max_codepoint=255)))
def test_whatever_comes(name: str, value: str) -> None:
    for header in ("authorization", "sec-websocket-protocol", "cookie"):
        found: str | None = None
        with suppress(GatewayError):
            found = BEARER.find(shown((header, value), ("cookie", f"{name}={value}"), query=f"token={name}"))
        assert found is None or found

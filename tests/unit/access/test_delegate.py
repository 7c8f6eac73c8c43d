"""Who clients are, as another one decides it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest

from helpers.own_endpoint import OwnEndpoint, handshake_headers
from helpers.waiting import arrived, eventually
from wsgw.access.authenticator import Authenticator
from wsgw.access.delegate import DelegateAuthenticator
from wsgw.access.endpoint import Endpoint
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.errors import AUTH_UNAVAILABLE, DRAINING, FORBIDDEN, UNAUTHENTICATED, GatewayError, Kind
from wsgw.protocols.handshake import Handshake

ANONYMOUS = rights_of({"subscribe": ["public.*"]})
DEFAULT = rights_of({"subscribe": ["news"]})


def sent(*headers: tuple[str, str], client: str = "10.0.0.1", path: str = "/ws/a") -> Handshake:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Handshake(path, b"", [(b"host", b"gateway"), *raw], client)


COOKIE = sent(("cookie", "sid=1"))


@pytest.fixture
async def own() -> AsyncIterator[OwnEndpoint]:
    server = OwnEndpoint()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def authenticator(own: OwnEndpoint) -> AsyncIterator[DelegateAuthenticator]:
    made = DelegateAuthenticator(Endpoint(own.url, 5), ["Cookie", "Authorization"], ANONYMOUS, DEFAULT)
    made.start()
    yield made
    await made.close()


async def who(authenticator: Authenticator, handshake: Handshake, token: str | None = None) -> Identity:
    found = authenticator.identify(handshake, token)
    return found if isinstance(found, Identity) else await found


async def refusal(authenticator: Authenticator, handshake: Handshake, token: str | None = None) -> Kind:
    with pytest.raises(GatewayError) as refused:
        await who(authenticator, handshake, token)
    return refused.value.kind


async def test_the_endpoint_says_who_it_is(own: OwnEndpoint, authenticator: DelegateAuthenticator) -> None:
    own.say(200, {"user": "alice", "expires_in": 300, "wsgw": {"publish": ["orders"]}, "claims": {"team": "a"}})
    before = time.time()
    identity = await who(authenticator, COOKIE)
    assert (identity.user, identity.claims) == ("alice", {"team": "a", "sub": "alice"})
    assert identity.rights == rights_of({"publish": ["orders"]})
    assert identity.expires_at is not None
    assert before + 300 <= identity.expires_at <= time.time() + 300
    own.say(200, {"user": "bob"})
    assert (await who(authenticator, sent(("cookie", "sid=2")))).rights == DEFAULT


async def test_only_the_named_headers_are_passed_on(own: OwnEndpoint, authenticator: DelegateAuthenticator) -> None:
    smuggling = sent(
        ("cookie", "sid=1"),
        ("x-user", "admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("content-length", "5"),
        ("authorization", "Basic x"),
    )
    await who(authenticator, smuggling)
    headers = handshake_headers(own.heads[0])
    assert set(headers) == {
        *("host", "accept", "accept-encoding", "user-agent"),
        *("cookie", "authorization", "x-forwarded-for"),
    }
    assert headers["x-forwarded-for"] == "10.0.0.1"


async def test_a_thousand_clients_with_one_cookie_are_one_call(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    own.may_answer.clear()
    asking = [asyncio.ensure_future(who(authenticator, COOKIE)) for _ in range(1000)]
    await asyncio.sleep(0)
    asking[0].cancel()
    own.may_answer.set()
    found = await asyncio.gather(*asking[1:])
    assert {identity.user for identity in found} == {"alice"}
    assert len(own.heads) == 1
    assert isinstance(authenticator.identify(sent(("cookie", "sid=1"), path="/ws/b")), Identity)  # known by now


async def test_who_comes_as_the_answer_does_asks_nothing(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    late = authenticator.identify(COOKIE)
    assert not isinstance(late, Identity)
    await who(authenticator, COOKIE)
    assert (await late).user == "alice"
    assert len(own.heads) == 1


async def test_another_cookie_or_another_address_is_another_question(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    await who(authenticator, COOKIE)
    await who(authenticator, sent(("cookie", "sid=2")))
    await who(authenticator, sent(("cookie", "sid=1"), client="10.0.0.2"))
    assert len(own.heads) == 3


async def test_an_answer_is_kept_for_the_time_that_it_says(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    own.say(200, {"user": "alice", "expires_in": 0.2})
    first = await who(authenticator, COOKIE)
    assert await who(authenticator, COOKIE) is first

    async def asked_again() -> Identity | None:
        found = await who(authenticator, COOKIE)
        return None if found is first else found

    second: Identity | None = await eventually(asked_again, "it is asked again")
    assert second is not None
    assert len(own.heads) == 2
    assert first.expires_at is not None
    assert second.expires_at is not None
    assert second.expires_at > first.expires_at


@pytest.mark.parametrize(("status", "kind"), [(401, UNAUTHENTICATED), (403, FORBIDDEN), (503, AUTH_UNAVAILABLE)])
async def test_a_flood_of_one_bad_cookie_is_one_call_a_second(
    own: OwnEndpoint, authenticator: DelegateAuthenticator, status: int, kind: Kind
) -> None:
    own.say(status, b"")
    for _ in range(50):
        assert await refusal(authenticator, COOKIE) is kind
    assert len(own.heads) == 1
    own.say(200, {"user": "alice"})

    async def let_in() -> Identity | None:
        try:
            return await who(authenticator, COOKIE)
        except GatewayError:
            return None

    found: Identity | None = await eventually(let_in, "it is asked again")
    assert found is not None
    assert len(own.heads) == 2


async def test_who_shows_nothing_is_anonymous_and_nobody_is_asked(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    identity = authenticator.identify(sent())
    assert isinstance(identity, Identity)
    assert (identity.user, identity.rights) == (None, ANONYMOUS)
    assert isinstance(authenticator.identify(sent(("cookie", ""))), Identity)
    strict = DelegateAuthenticator(Endpoint(own.url, 5), ["cookie"])
    assert await refusal(strict, sent()) is UNAUTHENTICATED
    assert own.heads == []


async def test_who_shows_something_wrong_is_not_anonymous(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    own.say(401, b"")
    assert await refusal(authenticator, COOKIE) is UNAUTHENTICATED


async def test_a_token_said_elsewhere_goes_as_a_bearer_token(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    await who(authenticator, sent(("cookie", "sid=1"), ("authorization", "Bearer old")), "new")
    headers = handshake_headers(own.heads[0])
    assert (headers["authorization"], headers["cookie"]) == ("Bearer new", "sid=1")
    await who(authenticator, sent(), "new")
    assert handshake_headers(own.heads[1])["authorization"] == "Bearer new"


async def test_a_token_beside_the_subprotocol_goes_as_one_too(
    own: OwnEndpoint, authenticator: DelegateAuthenticator
) -> None:
    """Browsers have no other place for it with a WebSocket; a header says more."""
    own.say(200, {"user": "alice"})
    offered = ("sec-websocket-protocol", "bearer, a.b.c, wsgw.envelope.v1")
    await who(authenticator, sent(offered))
    assert handshake_headers(own.heads[-1])["authorization"] == "Bearer a.b.c"
    await who(authenticator, sent(offered, ("authorization", "Bearer other")))
    assert handshake_headers(own.heads[-1])["authorization"] == "Bearer other"
    assert await refusal(authenticator, sent(("sec-websocket-protocol", "bearer"))) is UNAUTHENTICATED
    without = DelegateAuthenticator(Endpoint(own.url, 5), ["Cookie"], ANONYMOUS, DEFAULT)
    assert (await who(without, sent(offered))).user is None


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx-user: admin", "a\x00", "\xe9", "\ud800", "a" * 16_385])
async def test_a_token_cannot_be_more_than_a_token(
    own: OwnEndpoint, authenticator: DelegateAuthenticator, token: str
) -> None:
    assert await refusal(authenticator, sent(), token) is UNAUTHENTICATED
    assert own.heads == []


async def test_an_answer_that_is_none_refuses_and_is_logged_once(
    own: OwnEndpoint, authenticator: DelegateAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    own.say(200, b"<html>")
    with caplog.at_level(logging.ERROR, "wsgw.access"):
        for i in range(3):
            assert await refusal(authenticator, sent(("cookie", f"secret{i}"))) is AUTH_UNAVAILABLE
    assert len(caplog.records) == 1
    assert "auth.delegate: an answer cannot be used: the answer is no JSON; clients are refused" in caplog.text
    assert "secret" not in caplog.text


async def test_two_that_show_the_same_have_the_same_token(authenticator: DelegateAuthenticator) -> None:
    shown = authenticator.token_of(COOKIE)
    assert shown is not None
    assert "sid" not in shown
    assert authenticator.token_of(sent(("cookie", "sid=1"), client="10.9.9.9", path="/x")) == shown
    assert authenticator.token_of(sent(("cookie", "sid=2"))) != shown
    assert authenticator.token_of(sent(("x-user", "a"))) is None


async def test_who_waits_at_the_end_is_refused(own: OwnEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Which is nobody's fault."""
    authenticator = DelegateAuthenticator(Endpoint(own.url, 5), ["cookie"])
    authenticator.start()
    own.may_answer.clear()
    waiting = asyncio.ensure_future(refusal(authenticator, COOKIE))
    await arrived(own.heads, 1)
    await authenticator.close()
    assert await waiting is DRAINING
    assert not caplog.records

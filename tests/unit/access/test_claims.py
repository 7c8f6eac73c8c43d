"""From claims to an identity: rights, roles, defaults, times, and for whom a token is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.tokens import auth
from wsgw.access.claims import MAX_ROLES, Claims
from wsgw.access.identity import MAX_USER_CHARS, Identity
from wsgw.access.rights import Rights, rights_of
from wsgw.errors import TOKEN_EXPIRED, UNAUTHENTICATED, GatewayError

NOW = 1_000_000.0
MAP = {"trader": {"subscribe": ["prices"], "publish": ["orders"]}, "audit": {"subscribe": ["log.>"]}}


def identity(claims: dict[str, Any], jwt: dict[str, Any] | None = None, **values: Any) -> Identity:
    return Claims(auth(jwt={"secret": "x" * 32} | (jwt or {}), **values)).identity(claims, NOW)


def refused(claims: dict[str, Any], jwt: dict[str, Any] | None = None, **values: Any) -> str:
    with pytest.raises(GatewayError) as caught:
        identity(claims, jwt, **values)
    assert caught.value.kind is UNAUTHENTICATED
    return caught.value.message


def test_what_a_token_says() -> None:
    claims = {"sub": "ann", "exp": NOW + 1, "wsgw": {"subscribe": ["a.*"], "deny": {"subscribe": ["a.b"]}}}
    found = identity(claims)
    assert found == Identity("ann", rights_of(claims["wsgw"]), claims, NOW + 6)
    assert identity({"exp": NOW + 1}, {"leeway": 0}).expires_at == NOW + 1
    assert identity({}).expires_at is None
    assert identity({}).user is None


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("wsgw", {"wsgw": {"subscribe": ["a"]}}),
        ("app.rights", {"app": {"rights": {"subscribe": ["a"]}}}),
        ("app.rights", {"app.rights": {"subscribe": ["a"]}, "app": {"rights": {"subscribe": ["b"]}}}),
        ("https://id.example/wsgw", {"https://id.example/wsgw": {"subscribe": ["a"]}}),
    ],
)
def test_where_rights_are(path: str, claims: dict[str, Any]) -> None:
    assert identity(claims, {"claim": path}).rights == rights_of({"subscribe": ["a"]})


@pytest.mark.parametrize(
    ("claims", "rights"),
    [
        ({}, {"subscribe": ["public"]}),
        ({"a": {}}, {"subscribe": ["public"]}),
        ({"a": 5}, {"subscribe": ["public"]}),
        ({"a": {"roles": []}}, {"subscribe": ["public"]}),
        ({"a": {"roles": ["offline_access"]}}, {"subscribe": ["public"]}),
        ({"a": {"roles": ["offline_access", "trader"]}}, MAP["trader"]),
        ({"a": {"roles": "audit trader"}}, {"subscribe": ["log.>", "prices"], "publish": ["orders"]}),
        ({"a": {"roles": ["audit"]}, "wsgw": {"request": ["sum"]}}, {"subscribe": ["log.>"], "request": ["sum"]}),
        ({"wsgw": {}}, {}),
    ],
)
def test_rights_by_roles_and_the_default(claims: dict[str, Any], rights: dict[str, Any]) -> None:
    found = identity(claims, roles={"claim": "a.roles", "map": MAP}, default={"subscribe": ["public"]})
    assert found.rights == rights_of(rights)


def test_what_a_role_denies_is_denied() -> None:
    roles = {"claim": "scope", "map": {"guest": {"subscribe": [">"], "deny": {"subscribe": ["secret"]}}}}
    found = identity({"scope": "openid guest", "wsgw": {"subscribe": ["secret"]}}, roles=roles)
    assert found.rights == Rights({"subscribe": [">", "secret"]}, {"subscribe": ["secret"]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is not a mapping"),
        ([], "is not a mapping"),
        ("subscribe", "is not a mapping"),
        ({"subscribe": "a"}, "subscribe: is not a list"),
        ({"subscribe": ["a", "b..c"]}, r"subscribe\[1\]"),
        ({"subscrib": []}, "unknown key"),
        ({"deny": {"subscribe": [5]}}, r"deny.subscribe\[0\]"),
    ],
)
def test_rights_of_another_form(value: object, message: str) -> None:
    text = refused({"wsgw": value}, default={"subscribe": [">"]})
    assert text.startswith("the token has a claim 'wsgw' that says no rights: ")
    assert re.search(message, text)


@pytest.mark.parametrize("value", [5, None, {}, ["a", 5], [["a"]], ["r"] * (MAX_ROLES + 1)])
def test_roles_of_another_form(value: object) -> None:
    assert "'roles' that is no list of roles" in refused({"roles": value}, roles={"claim": "roles", "map": MAP})


@pytest.mark.parametrize(
    "user", ["", 5, None, ["ann"], "a\nb", "a\x00", "a\u2028b", "\ud800", "a" * (MAX_USER_CHARS + 1)]
)
def test_users_that_are_none(user: object) -> None:
    assert "'sub'" in refused({"sub": user})


@pytest.mark.parametrize(
    "user", ["ann", "a b", "ann@example.com", "https://id.example/ann", "Ännchen", "a" * MAX_USER_CHARS]
)
def test_users(user: str) -> None:
    assert identity({"sub": user}).user == user


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"exp": NOW}, True),
        ({"exp": NOW - 4.9}, True),
        ({"nbf": NOW + 5}, True),
        ({"nbf": NOW - 50, "iat": NOW + 5000}, True),
        ({"nbf": NOW + 5.1}, False),
    ],
)
def test_times(claims: dict[str, Any], good: bool) -> None:
    if good:
        identity(claims)
    else:
        assert "not valid yet" in refused(claims)


def test_expired() -> None:
    for ends in (NOW - 5, NOW - 500, 0, -1):
        with pytest.raises(GatewayError, match="expired") as caught:
            identity({"exp": ends})
        assert caught.value.kind is TOKEN_EXPIRED


@pytest.mark.parametrize("value", ["1", True, None, [], float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["exp", "nbf"])
def test_times_that_are_none(name: str, value: object) -> None:
    assert f"no number ('{name}')" in refused({name: value})


@pytest.mark.parametrize(
    ("audience", "meant", "good"),
    [
        (None, "anybody", True),
        ("me", "me", True),
        ("me", ["you", "me"], True),
        (["me", "us"], "us", True),
        ("me", "you", False),
        ("me", [], False),
        ("me", None, False),
        ("me", [["me"]], False),
        ("me", {"me": 1}, False),
        ("me", "me too", False),
    ],
)
def test_for_whom_it_is(audience: object, meant: object, good: bool) -> None:
    wanted = {} if audience is None else {"audience": audience}
    if good:
        identity({"aud": meant}, wanted)
    else:
        assert refused({"aud": meant}, wanted) == "the token is not for the audience 'me' ('aud')"


def test_whose_it_is() -> None:
    issuer = {"issuer": "https://id.example"}
    identity({"iss": "https://id.example"}, issuer)
    identity({"iss": 5})
    for other in ("https://id.example/", ["https://id.example"], None):
        assert "not by the issuer 'https://id.example'" in refused({"iss": other}, issuer)
    assert "not by the issuer" in refused({"exp": NOW - 500}, issuer)  # to come with a new one would not help


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["subscribe", "deny", "b"]), inner),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a machine that has other work
@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iss", "aud", "wsgw", "a"]), JSON))
def test_whatever_it_says(claims: dict[str, Any]) -> None:
    reading = Claims(auth(roles={"claim": "a.b", "map": MAP}, jwt={"secret": "x" * 32, "audience": "me"}))
    try:
        found = reading.identity(claims, NOW)
    except GatewayError:
        return
    assert "me" in claims["aud"]
    assert found.user is None or found.user == claims["sub"]

"""Sets of public keys: which keys are of use, and which one is a token's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from helpers.tokens import ec_key, ed_key, jwk, rsa_key, token
from wsgw.access.compact import compact
from wsgw.access.jwkset import MAX_KEYS, KeySet, key_set
from wsgw.config.keys import JWKS_ALGORITHMS, PUBLIC_ALGORITHMS
from wsgw.errors import UNAUTHENTICATED, GatewayError


def keys(*found: Any, algorithms: tuple[str, ...] = JWKS_ALGORITHMS) -> KeySet:
    return key_set(json.dumps({"keys": found}).encode(), algorithms)


def checks(found: KeySet, text: str) -> bool:
    parts = compact(text)
    key = found.find(parts.algorithm, parts.kid)
    if key is None:
        return False
    try:
        return bool(key.check(parts))
    except GatewayError:
        return False


@pytest.mark.parametrize(
    ("key", "algorithm"), [(rsa_key(), "RS256"), (ec_key(), "ES256"), (ed_key(), "EdDSA")], ids=["RSA", "EC", "OKP"]
)
def test_the_key_of_a_token(key: Any, algorithm: str) -> None:
    found = keys(jwk(rsa_key(), "r"), jwk(ec_key(), "e"), jwk(ed_key(), "d"))
    assert len(found) == 3
    kid = {"RS256": "r", "ES256": "e", "EdDSA": "d"}[algorithm]
    assert checks(found, token(key=key, algorithm=algorithm, kid=kid))
    assert checks(found, token(key=key, algorithm=algorithm))  # no other one would fit
    assert not checks(found, token(key=key, algorithm=algorithm, kid="x"))
    for other in {"r", "e", "d"} - {kid}:
        assert not checks(found, token(key=key, algorithm=algorithm, kid=other))


def test_a_token_that_names_no_key_where_several_fit() -> None:
    found = keys(jwk(rsa_key(), "a"), jwk(rsa_key(1), "b"))
    with pytest.raises(GatewayError, match="'kid'") as caught:
        found.find("RS256", None)
    assert caught.value.kind is UNAUTHENTICATED
    assert checks(found, token(key=rsa_key(1), algorithm="RS256", kid="b"))


def test_what_a_key_is_for() -> None:
    every = keys(jwk(rsa_key(), "a", alg="PS256"), jwk(ec_key(), "b"), algorithms=PUBLIC_ALGORITHMS)
    assert every.find("PS256", "a") is not None
    assert every.find("RS256", "a") is None
    assert every.find("ES256", "b") is not None
    assert every.find("ES384", "b") is None
    assert keys(jwk(rsa_key(), "a"), algorithms=("RS512",)).find("RS256", "a") is None
    both = keys(jwk(rsa_key(), "a"), jwk(ec_key(), "a"))  # one name, two kinds
    assert checks(both, token(key=rsa_key(), algorithm="RS256", kid="a"))
    assert checks(both, token(key=ec_key(), algorithm="ES256", kid="a"))


def test_keys_of_one_name_and_kind() -> None:
    """Against the standard's advice; the first one is that name's."""
    found = keys(jwk(rsa_key(), "a"), jwk(rsa_key(1), "a"))
    assert checks(found, token(key=rsa_key(), algorithm="RS256", kid="a"))
    assert not checks(found, token(key=rsa_key(1), algorithm="RS256", kid="a"))


def test_as_many_as_there_may_be() -> None:
    assert len(keys(*[jwk(ec_key(), str(i)) for i in range(MAX_KEYS)])) == MAX_KEYS


SMALL = rsa.generate_private_key(65537, 1024)
OF_NO_USE: dict[str, Any] = {
    "encryption": jwk(rsa_key(), "a", use="enc"),
    "secret": {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
    "small": jwk(SMALL, "a"),
    "private": RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": "a"},
    "to sign": jwk(rsa_key(), "a", key_ops=["sign"]),
    "other algorithm": jwk(rsa_key(), "a", alg="RSA-OAEP"),
    "no secret's algorithm": jwk(rsa_key(), "a", alg="HS256"),
    "other curve": jwk(ec.generate_private_key(ec.SECP384R1()), "a"),
    "name that is no text": jwk(rsa_key()) | {"kid": 5},
    "broken": {"kty": "RSA", "kid": "a", "n": 5, "e": None},
    "not there": {"kty": "EC", "kid": "a"},
    "not on its curve": jwk(ec_key(), "a") | {"x": "AAAA"},
    "unknown kind": {"kty": ["RSA"], "kid": "a"},
    "no key": 5,
    "empty": {},
}


@pytest.mark.parametrize("one", OF_NO_USE.values(), ids=OF_NO_USE)
def test_keys_of_no_use(one: Any) -> None:
    with pytest.raises(ValueError, match="none of its 1 keys"):
        keys(one)
    found = keys(one, jwk(ed_key(), "d"))
    assert len(found) == 1
    assert found.find("RS256", "a") is None


def test_keys_that_say_that_they_check() -> None:
    assert len(keys(jwk(rsa_key(), "a", use="sig", key_ops=["verify"], x5c=["…"], more=1))) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"[" * 5000, "no JSON"),
        (b"[]", "no list of keys"),
        (b"{}", "no list of keys"),
        (b'{"keys": {}}', "no list of keys"),
        (b'{"keys": []}', "none of its 0 keys"),
        (json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(), f"{MAX_KEYS + 1} keys, more than"),
    ],
)
def test_bodies_that_are_no_set(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        key_set(body, JWKS_ALGORITHMS)


MEMBERS = (
    st.none()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.lists(st.text(max_size=3), max_size=2)
)


@given(
    st.dictionaries(
        st.sampled_from(["n", "e", "x", "y", "crv", "kid", "use", "alg", "key_ops"]),
        MEMBERS | st.sampled_from(["P-256", "Ed25519", "sig", "RS256", "AQAB"]),
    ),
    st.sampled_from(["RSA", "EC", "OKP"]),
)
def test_whatever_a_key_is(members: dict[str, Any], kind: str) -> None:
    good = {"RSA": jwk(rsa_key()), "EC": jwk(ec_key()), "OKP": jwk(ed_key())}[kind]
    found = keys({"kty": kind} | members, good | members, jwk(ed_key(), "sound"))
    assert found.find("EdDSA", "sound") is not None

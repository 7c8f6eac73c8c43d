"""Keys that check signatures, prepared once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.tokens import SECRET, ec_key, rsa_key, token
from wsgw.access.compact import compact
from wsgw.access.signatures import OneKey, SigningKey
from wsgw.config.keys import BadKeyError, Key
from wsgw.errors import UNAUTHENTICATED, GatewayError


@pytest.mark.parametrize(
    ("value", "key", "algorithm"),
    [
        (SECRET.encode(), SECRET, "HS256"),
        (rsa_key().public_key(), rsa_key(), "RS256"),
        (rsa_key().public_key(), rsa_key(), "PS256"),
        (ec_key().public_key(), ec_key(), "ES256"),
    ],
    ids=["HS256", "RS256", "PS256", "ES256"],
)
def test_a_signature(value: Any, key: Any, algorithm: str) -> None:
    found = SigningKey(value, (algorithm,))
    assert found.fits(algorithm)
    assert not found.fits("none")
    parts = compact(token(key=key, algorithm=algorithm))
    assert json.loads(found.check(parts))
    assert json.loads(parts.payload) == json.loads(found.check(parts))
    signature = parts.signature
    for other in (b"", b"x", bytes(len(signature)), signature + b"x", signature[:-1]):
        with pytest.raises(GatewayError, match="has a signature that is not by the key"):
            found.check(parts._replace(signature=other))
    with pytest.raises(GatewayError, match="has a signature that is not by the key"):
        found.check(parts._replace(signed=parts.signed + b"x"))


def test_an_algorithm_that_does_not_fit() -> None:
    """Names of algorithms are compared before a key is taken; should that be forgotten, the key does not fit."""
    found = SigningKey(SECRET.encode(), ("HS256",))
    for algorithm in ("HS512", "none", "RS256"):
        parts = compact(token())._replace(algorithm=algorithm)
        with pytest.raises(GatewayError, match="not by the key"):
            found.check(parts)


async def test_the_key_of_the_configuration_is_that_of_every_token() -> None:
    keys = OneKey("secret", Key(SECRET.encode(), ("HS256", "HS512")))
    assert keys.algorithms == ("HS256", "HS512")
    found = keys.find("HS256", "whatever it is called")
    assert found is not None
    assert found.fits("HS512")
    assert keys.find("HS256", None) is found
    with pytest.raises(GatewayError, match="the token is signed by a key that is not known here") as caught:
        await keys.look("HS256", "k")
    assert caught.value.kind is UNAUTHENTICATED


@pytest.mark.parametrize("secret", [b'{"kty": "oct", "k": "YWJj"}', b"ssh-rsa AAAA"])
def test_a_secret_that_is_a_key_of_another_kind(secret: bytes) -> None:
    with pytest.raises(BadKeyError, match="a key of another kind") as caught:
        OneKey("secret_file", Key(secret, ("HS256",)))
    assert caught.value.key == "secret_file"
    assert "AAAA" not in str(caught.value)

"""Keys that check signatures, prepared once."""

from __future__ import annotations

import json
import warnings
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
    head, body, signature = parts.token.split(b".")
    others = [b"eA", b"A" * len(signature), signature + b"AAAA"]
    for spoilt in [b".".join([head, body + b"AAAA", signature]), *[b".".join([head, body, other]) for other in others]]:
        with pytest.raises(GatewayError, match="has a signature that is not by the key"):
            found.check(parts._replace(token=spoilt))


def test_an_algorithm_that_does_not_fit() -> None:
    """Names of algorithms are compared before a key is taken; should that be forgotten, PyJWT does it again."""
    found = SigningKey(SECRET.encode(), ("HS256",))
    with pytest.raises(GatewayError, match="alg value is not allowed"):
        found.check(compact(token(key="s" * 64, algorithm="HS512")))


@pytest.mark.parametrize(
    ("secret", "algorithm"), [("short", "HS256"), (SECRET, "HS512")], ids=["short", "short for HS512 only"]
)
def test_a_short_secret_warns_nobody_at_each_token(secret: str, algorithm: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = token(key=secret, algorithm=algorithm)
    assert SigningKey(secret.encode(), ("HS256", "HS512")).check(compact(made))


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

"""Tokens taken apart: what is not of the form is refused, and never shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tokens import part, token
from wsgw.access.compact import MAX_NESTED, MAX_TOKEN_BYTES, claims_of, compact
from wsgw.errors import UNAUTHENTICATED, GatewayError

HEAD, BODY, SIGNATURE = part({"alg": "HS256"}), part({"sub": "ann"}), part(b"signature")


def test_the_parts() -> None:
    found = compact(f"{part({'alg': 'ES256', 'kid': 'k', 'typ': 'JWT'})}.{BODY}.{SIGNATURE}")
    assert (found.algorithm, found.kid) == ("ES256", "k")
    assert (found.payload, found.signature) == (b'{"sub": "ann"}', b"signature")
    assert found.signed.endswith(f".{BODY}".encode())
    assert compact(token()).kid is None
    assert claims_of(b'{"sub": "ann"}') == {"sub": "ann"}


def test_as_long_as_it_may_be() -> None:
    body = "A" * (MAX_TOKEN_BYTES - len(HEAD) - len(SIGNATURE) - 2)
    assert compact(f"{HEAD}.{body}.{SIGNATURE}").payload == bytes(len(body) * 3 // 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "three parts"),
        ("abc", "three parts"),
        ("..", "three parts"),
        (f"{HEAD}.{BODY}", "three parts"),
        (f"{HEAD}..{SIGNATURE}", "three parts"),
        (f".{BODY}.{SIGNATURE}", "three parts"),
        (f"{HEAD}.{BODY}.{SIGNATURE}.{SIGNATURE}", "three parts"),
        (".".join([HEAD] * 5), "three parts"),
        (f"{HEAD}.{BODY}.", "base64url"),
        (f"{HEAD}.{BODY}.{SIGNATURE}=", "base64url"),
        (f"{HEAD}.{BODY}.a", "base64url"),
        (f"{HEAD}.{BODY}.ab", "base64url"),  # bits that belong to no byte
        (f"{HEAD}.{BODY}.a+/b", "base64url"),
        (f"{HEAD}.{BODY}.a b", "base64url"),
        (f"{HEAD}.{BODY}.\nYWJj", "base64url"),
        (f"{HEAD}.{BODY}.äöüß", "base64url"),
        (f"{HEAD}.{BODY}.\ud800", "base64url"),
        (f"{part(b'x')}.{BODY}.{SIGNATURE}", "no JSON object"),
        (f"{part([1])}.{BODY}.{SIGNATURE}", "no JSON object"),
        (f"{part(b'[' * 5000)}.{BODY}.{SIGNATURE}", "no JSON object"),
        (f"{part({})}.{BODY}.{SIGNATURE}", "'alg'"),
        (f"{part({'alg': None})}.{BODY}.{SIGNATURE}", "'alg'"),
        (f"{part({'alg': ['HS256']})}.{BODY}.{SIGNATURE}", "'alg'"),
        (f"{part({'alg': 'HS256', 'kid': 5})}.{BODY}.{SIGNATURE}", "'kid'"),
        (f"{part({'alg': 'HS256', 'crit': ['b64'], 'b64': False})}.{BODY}.{SIGNATURE}", "'crit'"),
        (f"{part({'alg': 'HS256', 'crit': []})}.{BODY}.{SIGNATURE}", "'crit'"),
        ("a" * (MAX_TOKEN_BYTES + 1), "longer than"),
    ],
)
def test_what_is_not_of_the_form(text: str, message: str) -> None:
    with pytest.raises(GatewayError, match=message) as caught:
        compact(text)
    assert caught.value.kind is UNAUTHENTICATED
    assert not text or text not in caught.value.message


@pytest.mark.parametrize("payload", [b"x", b"[]", b"null", b"\xff", b"{", b"NaN", b"[" * 5000])
def test_claims_that_are_none(payload: bytes) -> None:
    with pytest.raises(GatewayError, match="no JSON object"):
        claims_of(payload)


def nested(depth: int) -> bytes:
    return b'{"a":%b1%b}' % (b'[{"b":' * (depth // 2) + b"[" * (depth % 2), b"]" * (depth % 2) + b"}]" * (depth // 2))


def test_claims_within_each_other() -> None:
    """Some are users' own words, and JSON's writers have a bound for it: 1015 deep was a fault for who is asked."""
    for depth in (0, 1, 50, MAX_NESTED - 1):
        assert claims_of(nested(depth))
    assert claims_of(b'{"a":[%b]}' % b",".join([b'{"r":[]}'] * 500))  # many, and not deep
    for depth in (MAX_NESTED, MAX_NESTED + 1, 1000):
        with pytest.raises(GatewayError, match="nested more than 100 deep"):
            claims_of(nested(depth))


@given(st.text(max_size=200), st.binary(max_size=100))
def test_whatever_comes(text: str, data: bytes) -> None:
    for given_ in (text, f"{part(data)}.{text}.{part(data)}", f"{HEAD}.{part(data)}.{text}"):
        with suppress(GatewayError):
            compact(given_)

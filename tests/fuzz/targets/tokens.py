"""Tokens, their claims, rights, what claims fill, key sets, and what others say of clients."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import AbstractContextManager, nullcontext, suppress
from inspect import isawaitable

import jwt
import orjson

from fuzz.target import Run, Target, plain
from helpers import tokens
from wsgw.access.answer import known_by
from wsgw.access.authentication import TokenAuthenticator, make_keys
from wsgw.access.compact import compact
from wsgw.access.identity import Identity
from wsgw.access.jwkset import key_set
from wsgw.access.rights import NO_RIGHTS, Rights, rights_of
from wsgw.channels.channel import Use
from wsgw.channels.template import template_of
from wsgw.config.auth import AuthSettings
from wsgw.errors import GatewayError
from wsgw.protocols.handshake import Handshake

SECRET = "a secret of more than thirty-two bytes, for tests"
NAMES = ("IN", "chat.a", "chat.*", "chat.>", "a.b.c")
TEMPLATES = [
    found
    for text in ("users.{sub}.inbox", "t.{org.id}.room.*", "{sub|base64url}.{roles}", "x.{https://a.b/c|sha256}")
    if (found := template_of(text)) is not None
]
AUTH = AuthSettings.model_validate(
    {
        "jwt": {"secret": SECRET, "issuer": "me", "audience": ["us"], "leeway": "5s", "claim": "wsgw"},
        "roles": {"claim": "realm.roles", "map": {"admin": {"subscribe": ["admin.>"]}}},
        "cookie": "token",
        "query_parameter": "token",
    }
)
ANY_CLAIMS = AuthSettings.model_validate({**AUTH.model_dump(), "jwt": {"secret": SECRET}})


def shown(rights: Rights) -> None:
    """They say what they say again."""
    told = rights.as_json()
    again = rights_of(told)
    assert again.as_json() == told
    for name in NAMES:
        for use in Use:
            assert rights.allow(use, name) is again.allow(use, name)


def known(identity: object) -> None:
    """What claims fill is one token each, and what was not meant to be is none."""
    assert isinstance(identity, Identity)
    shown(identity.rights)
    for template in TEMPLATES:
        try:
            values = template.values(identity.claims)
        except ValueError:
            continue
        filled = template.filled(values)
        assert filled.count(".") == template.subject.count(".")
        assert not any(character in value for value in values for character in "*> \r\n\t\0.")
        assert all(values)
        assert template.values_in(filled) == values


def made(auth: AuthSettings) -> TokenAuthenticator:
    assert auth.jwt is not None
    return TokenAuthenticator(auth, make_keys(auth.jwt))


def begin_handshake() -> AbstractContextManager[Run]:
    authenticator = made(AUTH)
    names = (b"authorization", b"sec-websocket-protocol", b"cookie")

    def run(data: bytes) -> None:
        lines = data.split(b"\n", 4)
        headers = [(name, line) for name, line in zip(names, lines, strict=False) if line]
        with suppress(GatewayError):
            found = authenticator.identify(Handshake("/", b"".join(lines[3:4]), headers, ""))
            assert not isawaitable(found)
            known(found)

    return nullcontext(run)


def header(data: bytes) -> None:
    """``data`` as the head of a token."""
    part = urlsafe_b64encode(data).rstrip(b"=").decode()
    with suppress(GatewayError):
        assert isinstance(compact(f"{part}.e30.AAAA").algorithm, str)


def begin_claims() -> AbstractContextManager[Run]:
    """``data`` as the claims of a token that is signed well."""
    both = [made(AUTH), made(ANY_CLAIMS)]
    jws = jwt.PyJWS()

    def run(data: bytes) -> None:
        token = jws.encode(data, SECRET, "HS256") if data else ""
        for authenticator in both:
            with suppress(GatewayError):
                known(authenticator.identify(tokens.bearing(token)))

    return nullcontext(run)


def rights(data: bytes) -> None:
    try:
        value = orjson.loads(data)
    except ValueError:
        return
    with suppress(ValueError):
        shown(rights_of(value))


def answer(data: bytes) -> None:
    with suppress(ValueError):
        found = known_by(data, NO_RIGHTS, lambda: 1000.0)
        known(found.identity)
        assert found.kept_seconds >= 0


def keys(data: bytes) -> None:
    with suppress(ValueError):
        found = key_set(data, ("RS256", "ES256", "EdDSA"))
        assert len(found) > 0
        with suppress(GatewayError):
            found.find("ES256", None)


def template(data: bytes) -> None:
    with suppress(ValueError):
        found = template_of(data.decode())
        if found is not None:
            assert found.subject.count("*") >= len(found.placeholders) > 0


GOOD = tokens.token({"sub": "ann", "iss": "me", "aud": "us", "wsgw": {"subscribe": ["chat.*"]}}, SECRET).encode()
CLAIMS = (
    b'{"sub":"ann","iss":"me","aud":["us"],"exp":9999999999,"nbf":0,"wsgw":{"subscribe":["chat.*"],"deny":{}}}',
    b'{"sub":"a","org":{"id":"x"},"roles":"r","realm":{"roles":["admin"]},"https://a.b/c":"y","iss":"me","aud":"us"}',
)
WORDS = (
    *(b'"sub"', b'"exp"', b'"nbf"', b'"iss"', b'"aud"', b'"wsgw"', b'"subscribe"', b'"publish"', b'"request"', b"null"),
    *(b'"deny"', b'["', b'"]', b"{}", b"[]", b":", b",", b"1e999", b"-1", b"true", b'"*"', b'">"', b'"a.b"', b"1e308"),
    *(b"\\u0000", b"\\ud800", b"\\n", b'""', b'"realm"', b'"roles"', b'"org"', b'"id"', b'"user"', b'"expires_in"'),
    *(b"Bearer ", b"bearer, ", b"token=", b"; ", b".", b"=", b"\n", b"eyJhbGciOiJub25lIn0", b'"alg"', b'"none"'),
    *(b'"HS256"', b'"kid"', b'"crit"', b'"b64"', b'"zip"', b'"kty"', b'"EC"', b'"crv"', b'"P-256"', b'"x"', b'"keys"'),
)

TARGETS = (
    Target(
        "token",
        begin_handshake,
        (b"Bearer " + GOOD, b"\nbearer, " + GOOD, b"\n\na=b; token=" + GOOD, b"\n\n\ntoken=" + GOOD),
        WORDS,
    ),
    Target("token-header", plain(header), (b'{"alg":"HS256","typ":"JWT","kid":"1"}', b'{"alg":"none"}'), WORDS, 500),
    Target("claims", begin_claims, CLAIMS, WORDS, share=0.5),
    Target("rights", plain(rights), (b'{"subscribe":["a","b.*"],"publish":[],"deny":{"request":["c.>"]}}',), WORDS),
    Target("answer", plain(answer), (b'{"user":"ann","expires_in":60,"wsgw":{"subscribe":["a"]},"claims":{}}',), WORDS),
    Target("keys", plain(keys), (orjson.dumps({"keys": [tokens.jwk(tokens.ec_key(), "1")]}),), WORDS, share=0.2),
    Target("template", plain(template), (b"users.{sub}.x", b"{a.b|sha256}.*"), (b"{", b"}", b"|", b".", b"*"), 200),
)

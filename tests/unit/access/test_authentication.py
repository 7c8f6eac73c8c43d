"""Who clients are, by tokens of one key; and attacks by tokens."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tokens import SECRET, auth, bearing, ec_key, ed_key, part, pem_file, public_pem, rsa_key, shown, token
from wsgw.access.authentication import TokenAuthenticator, make_authenticator, make_keys
from wsgw.access.authenticator import Authenticator
from wsgw.access.compact import MAX_TOKEN_BYTES
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.config.auth import AuthSettings
from wsgw.errors import TOKEN_EXPIRED, UNAUTHENTICATED, ConfigError, GatewayError, Kind


def authenticator(**values: Any) -> Authenticator:
    return make_authenticator(auth(**values))


def identified(by: Authenticator, text: str) -> Identity:
    """At once: there is nothing to wait for."""
    found = by.identify(bearing(text))
    assert isinstance(found, Identity)
    return found


def refused(by: Authenticator, text: str, kind: Kind = UNAUTHENTICATED) -> str:
    """What is said; and nothing of the token is."""
    with pytest.raises(GatewayError) as caught:
        by.identify(bearing(text))
    assert caught.value.kind is kind
    message = caught.value.message
    assert text not in message
    assert not any(len(piece) > 8 and piece in message for piece in text.split("."))
    return message


def test_a_token_of_the_key() -> None:
    found = identified(authenticator(), token({"wsgw": {"subscribe": ["a"]}}))
    assert (found.user, found.rights) == ("ann", rights_of({"subscribe": ["a"]}))
    assert found.expires_at is not None
    assert time.time() + 60 < found.expires_at <= time.time() + 65


def test_who_shows_nothing() -> None:
    with pytest.raises(GatewayError, match="none was shown") as caught:
        authenticator().identify(shown())
    assert caught.value.kind is UNAUTHENTICATED
    by = authenticator(anonymous={"subscribe": ["public.*"]})
    assert by.identify(shown()) == Identity(None, rights_of({"subscribe": ["public.*"]}))
    assert by.token_of(shown()) is None
    assert not identified(by, token()).rights.allow("subscribe", "public.a")  # type: ignore[arg-type]
    refused(by, "wrong")
    with pytest.raises(GatewayError):
        by.identify(shown(("Authorization", "Basic x")))


def test_a_token_said_elsewhere_counts_first() -> None:
    by = authenticator()
    found = by.identify(bearing(token()), token({"sub": "bob"}))
    assert isinstance(found, Identity)
    assert found.user == "bob"
    for bad in ("", "wrong", "a" * (MAX_TOKEN_BYTES + 1), "\ud800.a.b"):
        with pytest.raises(GatewayError):
            by.identify(bearing(token()), bad)


def test_where_it_is_configured() -> None:
    text = token()
    by = authenticator(cookie="c", query_parameter="q")
    for handshake in (shown(("Cookie", f"c={text}")), shown(query=f"q={text}"), bearing(text)):
        assert by.token_of(handshake) == text
        assert isinstance(by.identify(handshake), Identity)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(rsa_key(), "RS256"), (ec_key(), "ES256"), (ed_key(), "EdDSA")],
    ids=["RS256", "ES256", "EdDSA"],
)
def test_public_keys(tmp_path: Path, key: Any, algorithm: str) -> None:
    by = authenticator(jwt={"public_key_file": pem_file(tmp_path, key)})
    assert identified(by, token(key=key, algorithm=algorithm)).user == "ann"
    others = {"RS256": rsa_key(1), "ES256": ec_key(1), "EdDSA": ed_key(1)}
    assert "signature" in refused(by, token(key=others[algorithm], algorithm=algorithm))
    for other in others.keys() - {algorithm}:
        assert f"only {algorithm} is taken" in refused(by, token(key=others[other], algorithm=other))
    assert f"only {algorithm} is taken" in refused(by, token())


def test_other_algorithms_of_the_key(tmp_path: Path) -> None:
    text = token(key=rsa_key(), algorithm="PS384")
    usual = authenticator(jwt={"public_key_file": pem_file(tmp_path, rsa_key())})
    assert "by 'PS384', and only RS256" in refused(usual, text)
    assert identified(
        authenticator(jwt={"public_key_file": pem_file(tmp_path, rsa_key()), "algorithms": ["PS384"]}), text
    )
    assert identified(
        authenticator(jwt={"secret": SECRET * 2, "algorithms": ["HS512"]}), token(key=SECRET * 2, algorithm="HS512")
    )
    assert "only HS512" in refused(
        authenticator(jwt={"secret": SECRET * 2, "algorithms": ["HS512"]}), token(key=SECRET * 2)
    )


def test_a_secret_that_is_a_key_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text('{"kty": "oct", "k": "c2VjcmV0"}')
    for values, key in (({"secret": path.read_text()}, "secret"), ({"secret_file": str(path)}, "secret_file")):
        with pytest.raises(ConfigError) as caught:
            make_authenticator(auth(jwt=values))
        assert str(caught.value) == f"auth.jwt.{key}: is no secret, but a key of another kind"
    settings = auth(jwt={"secret_file": str(path)})
    path.unlink()
    with pytest.raises(ConfigError, match=r"^auth.jwt.secret_file: .*: No such file or directory$"):
        make_authenticator(settings)


# -- attacks


def forged(head: dict[str, Any], key: bytes | None = None, claims: dict[str, Any] | None = None) -> str:
    """Signed with ``key`` by HS256, whatever its head says; by nothing without one."""
    signed = f"{part(head)}.{part(claims or {'sub': 'admin'})}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256)) if key else ''}"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
def test_signed_by_nothing(name: str, tmp_path: Path) -> None:
    for by in (authenticator(), authenticator(jwt={"public_key_file": pem_file(tmp_path, rsa_key())})):
        refused(by, forged({"alg": name}))
        refused(by, forged({"alg": name}) + part(b"x"))
        refused(by, forged({"alg": name}, SECRET.encode()))
    refused(authenticator(), jwt.encode({"sub": "admin"}, "", "none"))


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    by = authenticator(jwt={"public_key_file": pem_file(tmp_path, rsa_key())})
    pem = public_pem(rsa_key())
    for key in (pem, pem.strip(), pem.replace(b"\n", b"\r\n")):
        assert "'HS256', and only RS256" in refused(by, forged({"alg": "HS256"}, key))
        refused(by, forged({"alg": "RS256"}, key))
    for kind in ("secret", "secret_file"):
        path = tmp_path / "public.pem"
        with pytest.raises(ConfigError, match=kind):
            authenticator(jwt={kind: pem.decode() if kind == "secret" else str(path)})


@pytest.mark.parametrize(
    "kid", ["../../../../dev/null", "/dev/null", "http://127.0.0.1:1/keys", "' OR 1=1 --", "a\x00b", "k" * 5000]
)
def test_the_keys_name_is_no_matter(kid: str) -> None:
    """It leads nowhere: an empty file is not the key, nor is what somebody else serves."""
    by = authenticator()
    refused(by, forged({"alg": "HS256", "kid": kid}, b"x"))
    assert identified(by, token(kid=kid)).user == "ann"
    members = {"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x", "jwk": {"kty": "oct", "k": part(b"x")}}
    refused(by, forged({"alg": "HS256", **members}, b"x"))


def test_tokens_that_are_changed() -> None:
    by = authenticator()
    head, body, signature = token({"wsgw": {"subscribe": ["a"]}}).split(".")
    identified(by, f"{head}.{body}.{signature}")
    more = part({"sub": "ann", "wsgw": {"subscribe": [">"]}})
    for text in (f"{head}.{more}.{signature}", f"{head}.{body}.{signature[:-3]}", f"{head}.{body}.{part(bytes(32))}"):
        assert "signature" in refused(by, text)
    refused(by, f"{part({'alg': 'HS512'})}.{body}.{signature}")


def test_other_times_and_other_peoples() -> None:
    by = authenticator(jwt={"secret": SECRET, "issuer": "me", "audience": ["us"]})
    good = {"iss": "me", "aud": "us"}
    identified(by, token(good))
    assert "expired" in refused(by, token(good | {"exp": time.time() - 6}), TOKEN_EXPIRED)
    assert "not valid yet" in refused(by, token(good | {"nbf": time.time() + 60}))
    assert "audience" in refused(by, token({"iss": "me", "aud": "them"}))
    assert "issuer" in refused(by, token({"iss": "them", "aud": "us"}))
    assert "'crit'" in refused(by, token(good, crit=["exp"], exp=1))


def test_no_unknown_text_costs_more_than_a_known_one() -> None:
    by = authenticator()
    good = token({"padding": "x" * 11_000})
    assert len(good) < MAX_TOKEN_BYTES
    identified(by, good)
    refused(by, "a" * MAX_TOKEN_BYTES)
    refused(by, f"{part({'alg': 'HS256'})}.{'a' * 10_000}.{part(bytes(32))}")
    refused(by, "." * MAX_TOKEN_BYTES)


@given(st.text(max_size=100), st.binary(max_size=60), st.sampled_from(["HS256", "RS256", "none"]))
def test_whatever_comes(text: str, data: bytes, algorithm: str) -> None:
    by = BY_SECRET
    for bad in (text, f"{part({'alg': algorithm})}.{part(data)}.{part(data)}", f"{text}.{text}.{text}"):
        with pytest.raises(GatewayError):
            by.identify(shown(), bad)


BY_SECRET = authenticator()


# -- what is known already


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def with_clock(settings: AuthSettings) -> tuple[TokenAuthenticator, Clock]:
    clock = Clock()
    assert settings.jwt is not None
    return TokenAuthenticator(settings, make_keys(settings.jwt), clock), clock


def test_a_known_token_is_not_looked_at_again_and_still_expires() -> None:
    by, clock = with_clock(auth())
    text = token({"exp": clock.now + 10})
    first = by.identify(bearing(text))
    clock.now += 14.9
    assert by.identify(bearing(text)) is first
    clock.now += 0.1
    assert "expired" in refused(by, text, TOKEN_EXPIRED)
    clock.now -= 1  # a clock that is set back makes it good again, and no more than that
    assert by.identify(bearing(text)) == first


async def test_life() -> None:
    by = authenticator()
    by.start()
    await by.close()


# -- and nothing of it is in the log


async def test_tokens_and_secrets_are_nowhere_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    by = authenticator(cookie="c", query_parameter="q")
    texts = [token(), token(key="other" * 8), token({"exp": 1}), forged({"alg": "none"}), "abcdefghij.abcdefghij"]
    for text in texts:
        for handshake in (bearing(text), shown(("Cookie", f"c={text}")), shown(query=f"q={text}")):
            try:
                found = by.identify(handshake)
                assert isinstance(found, Identity)
            except GatewayError as error:
                caplog.records.append(logging.makeLogRecord({"msg": f"{error!r} {error.as_json()}"}))
    await asyncio.sleep(0)
    said = " ".join(record.getMessage() for record in caplog.records)
    for text in (*texts, SECRET):
        assert not [piece for piece in text.split(".") if piece and piece in said]

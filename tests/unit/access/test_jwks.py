"""Keys at a URL: rotated, away, hanging, too large, and asked for by floods of unknown names."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.authority import Authority
from helpers.tokens import JwksServer, auth, bearing, ec_key, ed_key, jwk, jwks_server, part, rsa_key, token
from helpers.waiting import eventually
from wsgw.access import jwks
from wsgw.access.authentication import TokenAuthenticator
from wsgw.access.identity import Identity
from wsgw.access.jwks import Jwks
from wsgw.access.jwkset import key_set
from wsgw.config.keys import JWKS_ALGORITHMS
from wsgw.errors import AUTH_UNAVAILABLE, UNAUTHENTICATED, GatewayError, Kind


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """A gateway's keys from ``server``, and who clients are by them. ``clock`` is that of the keys."""

    def __init__(self, server: JwksServer, url: str | None = None) -> None:
        self.server = server
        self.clock = Clock()
        self.keys = Jwks(url or server.url, JWKS_ALGORITHMS, self.clock)
        self.by = TokenAuthenticator(auth(jwt={"jwks_url": server.url}), self.keys)

    async def read(self) -> None:
        """Until the keys were read once."""
        asked = self.server.asked
        await eventually(lambda: self.keys.generation > 0 and asked <= self.server.asked, "keys read")

    async def identify(self, text: str) -> Identity:
        found = self.by.identify(bearing(text))
        return found if isinstance(found, Identity) else await found

    async def refused(self, text: str, kind: Kind = UNAUTHENTICATED) -> str:
        with pytest.raises(GatewayError) as caught:
            await self.identify(text)
        assert caught.value.kind is kind
        assert text not in caught.value.message
        return caught.value.message


@asynccontextmanager
async def provider(*keys: Any, start: bool = True) -> AsyncIterator[Provider]:
    async with jwks_server(*keys) as server:
        found = Provider(server)
        if start:
            found.by.start()
        try:
            yield found
        finally:
            await found.by.close()


def signed(key: Any = None, kid: str | None = "a", algorithm: str = "RS256", **claims: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return token(claims, rsa_key() if key is None else key, algorithm, **headers)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading again does not take long."""
    for name in ("INTERVAL_SECONDS", "LEAST_SECONDS", "FIRST_RETRY_SECONDS", "MOST_RETRY_SECONDS"):
        monkeypatch.setattr(jwks, name, 0.05)


async def test_a_token_of_each_kind_of_key() -> None:
    async with provider(jwk(rsa_key(), "a"), jwk(ec_key(), "b"), jwk(ed_key(), "c")) as of:
        await of.read()
        for key, kid, algorithm in ((rsa_key(), "a", "RS256"), (ec_key(), "b", "ES256"), (ed_key(), "c", "EdDSA")):
            text = signed(key, kid, algorithm)
            found = of.by.identify(bearing(text))
            assert isinstance(found, Identity)  # at once
            assert of.by.identify(bearing(text)) is found
        await of.refused(signed(rsa_key(1)))
        assert of.server.asked == 1


async def test_tls_by_a_certificate_that_is_trusted_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As simple as it may be, by every Python."""
    certificate, key = Authority(tmp_path).issue("provider", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with jwks_server(jwk(rsa_key(), "a"), tls=tls) as server:
        of = Provider(server)
        of.by.start()
        assert await of.identify(signed()) is not None
        await of.by.close()


async def test_who_comes_before_the_keys_waits_for_them() -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        of.server.may_answer.clear()
        coming = [asyncio.ensure_future(of.identify(signed(sub=str(i)))) for i in range(50)]
        await eventually(lambda: of.server.asked == 1, "asked")
        assert not any(one.done() for one in coming)
        of.server.may_answer.set()
        assert [one.user for one in await asyncio.gather(*coming)] == [str(i) for i in range(50)]
        assert of.server.asked == 1


async def test_one_who_gives_up_takes_the_keys_from_nobody() -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        of.server.may_answer.clear()
        first, second = (asyncio.ensure_future(of.identify(signed(sub=name))) for name in ("ann", "bob"))
        await eventually(lambda: of.server.asked == 1, "asked")
        first.cancel()
        await asyncio.wait({first})
        of.server.may_answer.set()
        assert (await second).user == "bob"


async def test_keys_that_are_rotated_while_tokens_of_both_come() -> None:
    """A new key is looked for when its first token comes; nobody is refused, and nobody asks twice."""
    old, new = (rsa_key(), "old", "RS256"), (ec_key(), "new", "ES256")
    async with provider(jwk(rsa_key(), "old")) as of:
        await of.read()
        assert (await of.identify(signed(*old))).user == "ann"
        of.server.has(jwk(rsa_key(), "old"), jwk(ec_key(), "new"))
        texts = [signed(*key, sub=str(i)) for i in range(100) for key in (old, new)]
        found = await asyncio.gather(*map(of.identify, texts))
        assert [one.user for one in found] == [str(i) for i in range(100) for _ in range(2)]
        assert (of.server.asked, of.server.most_at_once) == (2, 1)
        generation = of.keys.generation
        of.server.has(jwk(ec_key(), "new"))
        of.clock.now += jwks.LOOK_SECONDS
        await of.refused(signed(rsa_key(2), "third"))  # has them read again
        assert of.keys.generation == generation + 1
        await of.refused(signed(*old))  # also one that was known: the key is gone
        await of.refused(texts[0])
        assert (await of.identify(signed(*new))).user == "ann"


async def test_a_flood_of_unknown_keys_is_no_flood_elsewhere() -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.read()
        texts = [signed(rsa_key(1), f"unknown-{i}") for i in range(300)]
        for _ in range(3):
            results = await asyncio.gather(*map(of.identify, texts), return_exceptions=True)
            assert all(isinstance(one, GatewayError) and one.kind is UNAUTHENTICATED for one in results)
        assert of.server.asked == 2
        of.clock.now += jwks.LOOK_SECONDS - 0.1
        with pytest.raises(GatewayError):  # at once: nothing is waited for
            of.by.identify(bearing(texts[0]))
        of.clock.now += 0.1
        await asyncio.gather(*map(of.identify, texts), return_exceptions=True)
        assert (of.server.asked, of.server.most_at_once) == (3, 1)
        assert (await of.identify(signed())).user == "ann"


@pytest.mark.parametrize("kid", ["../../a", "http://127.0.0.1:1/keys", "a\x00", "", "A", "a" * 5000])
async def test_the_name_of_a_key_leads_nowhere_else(kid: str) -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.read()
        assert "'kid'" in await of.refused(signed(kid=kid))


async def test_a_secret_is_no_public_key() -> None:
    async with provider(jwk(rsa_key(), "a"), {"kty": "oct", "kid": "s", "k": part(b"s" * 32)}) as of:
        await of.read()
        assert "only RS256 or ES256 or EdDSA" in await of.refused(token({}, "s" * 32, kid="s"))
        assert of.server.asked == 1  # nor is it looked for


async def test_keys_stay_while_the_url_is_away(soon: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsgw.auth")
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.read()
        of.server.status = "503 Service Unavailable"
        asked = of.server.asked
        await eventually(lambda: of.server.asked >= asked + 4, "tried again and again")
        assert (await of.identify(signed())).user == "ann"
        await of.refused(signed(rsa_key(1), "new"), AUTH_UNAVAILABLE)  # it may be a new one
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert warnings[0].endswith("the keys read before stay, it is tried again: it answers 503")
        of.server.status = "200 OK"
        of.clock.now += jwks.LOOK_SECONDS
        await eventually(lambda: "again" in caplog.records[-1].getMessage(), "good again")
        await of.refused(signed(rsa_key(1), "new"))


async def test_they_are_read_again(soon: None) -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.read()
        of.server.has(jwk(rsa_key(1), "b"))
        await eventually(lambda: of.keys.generation == 2, "read again")
        assert (await of.identify(signed(rsa_key(1), "b"))).user == "ann"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 300),
        ("Cache-Control: max-age=600", 600),
        ("Cache-Control: public, MAX-AGE=600, x=1", 600),
        ("Cache-Control: max-age=1", 60),
        ("Cache-Control: s-maxage=600", 300),
        ("Cache-Control: max-age=99999999", 3600),
        ("Cache-Control: no-store", 300),
        ("Cache-Control: max-age=-5", 300),
    ],
)
async def test_when_they_are_read_again(header: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(jwk(rsa_key(), "a"), start=False) as of:
        of.server.headers = [header] if header else []
        of.keys._client = httpx.AsyncClient()
        assert await of.keys._read_now() == seconds


def break_down(server: JwksServer, how: str) -> None:
    good = server.body
    if how == "huge":
        server.body = good + b" " * jwks.MAX_BODY_BYTES
    elif how == "packed":
        server.headers = ["Content-Encoding: gzip"]
        server.body = b"\x1f\x8b" + bytes(100)
    elif how == "garbage":
        server.body = bytes(range(256))
    elif how == "empty":
        server.body = b'{"keys": []}'
    elif how == "elsewhere":
        server.status, server.headers = "302 Found", [f"Location: {server.url}"]
    elif how == "silent":
        server.silent = True
    else:
        server.status = how


REASONS = {
    "huge": f"it is larger than {jwks.MAX_BODY_BYTES} bytes",
    "packed": "it is no JSON",
    "garbage": "it is no JSON",
    "empty": "none of its 0 keys is one for RS256, ES256, EdDSA",
    "elsewhere": "it answers 302",
    "silent": "no answer in 0.3 s",
    "404 Not Found": "it answers 404",
    "x": "",  # in httpx's words
}


@pytest.mark.parametrize("how", ["huge", "packed", "garbage", "empty", "elsewhere", "silent", "404 Not Found", "x"])
async def test_no_keys_at_all(
    how: str, soon: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.3)
    async with provider(jwk(rsa_key(), "a"), start=False) as of:
        break_down(of.server, how)
        of.by.start()
        assert "come later" in await of.refused(signed(), AUTH_UNAVAILABLE)
        await of.refused(signed(kid="b"), AUTH_UNAVAILABLE)
        assert of.server.most_at_once == 1
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        said, _, reason = warnings[0].rpartition("cannot be read; tokens cannot be checked, it is tried again: ")
        assert said
        assert reason == REASONS[how] or (how == "x" and reason)
        assert not [record for record in caplog.records if record.exc_info]
        of.server.status, of.server.headers, of.server.silent = "200 OK", [], False
        of.server.has(jwk(rsa_key(), "a"))
        await eventually(lambda: of.keys.generation == 1, "there at last")
        assert (await of.identify(signed())).user == "ann"


async def test_nobody_there_and_what_is_said_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wsgw")
    async with jwks_server() as server:
        of = Provider(server, "http://127.0.0.1:1/keys?key=s3cret")
        of.by.start()
        await of.refused(signed(), AUTH_UNAVAILABLE)
        with pytest.raises(GatewayError, match="come later"):  # at once: it is not tried for each of them
            of.by.identify(bearing(signed()))
        await of.by.close()
    said = [record.getMessage() for record in caplog.records]
    assert any("http://127.0.0.1:1/keys cannot be read" in line for line in said)
    assert not any("s3cret" in line for line in said)


async def test_by_the_proxy_that_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with jwks_server(jwk(rsa_key(), "a")) as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/keys"))
        of = Provider(server, "http://id.example/keys")
        of.by.start()
        await of.identify(signed())
        assert server.asked == 1
        await of.by.close()


async def test_an_end_while_it_is_read() -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        of.server.may_answer.clear()
        coming = asyncio.ensure_future(of.identify(signed()))
        await eventually(lambda: of.server.asked == 1, "asked")
        await of.by.close()
        with pytest.raises(GatewayError) as caught:
            await coming
        assert caught.value.kind is AUTH_UNAVAILABLE


async def test_as_large_as_it_may_be() -> None:
    async with provider(start=False) as of:
        of.server.has(jwk(rsa_key(), "a"))
        of.server.body += b" " * (jwks.MAX_BODY_BYTES - len(of.server.body))
        of.by.start()
        assert (await of.identify(signed())).user == "ann"


async def test_what_is_known_is_forgotten_with_the_keys() -> None:
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.read()
        known = await of.identify(signed())
        text = signed(ec_key(), "b", "ES256")
        of.server.has(jwk(rsa_key(), "a"), jwk(ec_key(), "b"))
        first = await of.identify(text)
        second = await of.identify(text)
        assert second == first
        assert await of.identify(text) is second
        assert (await of.identify(signed())) is not known


async def test_a_fault_is_not_the_end(soon: None, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    real = key_set

    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(jwks, "key_set", broken)
    async with provider(jwk(rsa_key(), "a")) as of:
        await of.refused(signed(), AUTH_UNAVAILABLE)
        assert "a fault" in caplog.text
        monkeypatch.setattr(jwks, "key_set", real)
        await of.read()
        assert (await of.identify(signed())).user == "ann"

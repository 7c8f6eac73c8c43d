"""Finds out who clients are, by the tokens that they show."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from wsgw.access.authenticator import Authenticator
from wsgw.access.bearer import Bearer
from wsgw.access.claims import Claims, rights
from wsgw.access.compact import Compact, claims_of, compact, refusal
from wsgw.access.identity import Identity
from wsgw.access.signatures import Keys, OneKey, SigningKey
from wsgw.access.tokencache import TokenCache
from wsgw.broker.broker import Broker
from wsgw.config.auth import AuthSettings, JwtSettings
from wsgw.config.keys import BadKeyError, key_of
from wsgw.errors import UNAUTHENTICATED, ConfigError, GatewayError
from wsgw.protocols.handshake import Handshake


class TokenAuthenticator:
    """``auth`` has ``jwt``; ``keys`` are what that says. ``clock`` gives the Unix time."""

    def __init__(self, auth: AuthSettings, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._bearer = Bearer(auth.cookie, auth.query_parameter)
        self._claims = Claims(auth)
        self._anonymous = anonymous(auth)
        self._keys = keys
        self._clock = clock
        self._cache = TokenCache()
        self._generation = keys.generation  # of which those in the cache are

    def start(self) -> None:
        self._keys.start()

    async def close(self) -> None:
        await self._keys.close()

    def token_of(self, handshake: Handshake) -> str | None:
        return self._bearer.find(handshake)

    def identify(self, handshake: Handshake, token: str | None = None) -> Identity | Awaitable[Identity]:
        if token is None:
            token = self._bearer.find(handshake)
        if token is None:
            if self._anonymous is None:
                raise GatewayError(UNAUTHENTICATED, "a token is needed, and none was shown")
            return self._anonymous
        now = self._clock()
        if self._generation != self._keys.generation:
            self._cache.clear()
            self._generation = self._keys.generation
        known = self._cache.get(token, now)
        if known is not None:
            return known
        parts = compact(token)
        if parts.algorithm not in self._keys.algorithms:
            taken = " or ".join(self._keys.algorithms)
            raise refusal(f"is signed by {parts.algorithm[:32]!r}, and only {taken} is taken ('alg')")
        key = self._keys.find(parts.algorithm, parts.kid)
        return self._identity(token, parts, key, now) if key is not None else self._looked_up(token, parts)

    async def _looked_up(self, token: str, parts: Compact) -> Identity:
        key = await self._keys.look(parts.algorithm, parts.kid)
        return self._identity(token, parts, key, self._clock())

    def _identity(self, token: str, parts: Compact, key: SigningKey, now: float) -> Identity:
        identity = self._claims.identity(claims_of(key.check(parts)), now)
        self._cache.put(token, identity)
        return identity


def anonymous(auth: AuthSettings) -> Identity | None:
    """Who shows nothing; None where that is refused."""
    return None if auth.anonymous is None else Identity(None, rights(auth.anonymous))


def make_authenticator(auth: AuthSettings, broker: Broker | None = None) -> Authenticator:
    """What ``auth`` describes, not started; raises ConfigError where a key cannot be read.

    The ``broker`` is for ``delegate``, which may be a NATS service.
    """
    if auth.delegate is not None:
        from wsgw.access.delegate import delegate  # httpx takes long

        assert broker is not None
        shows_nothing = None if auth.anonymous is None else rights(auth.anonymous)
        return delegate(auth.delegate, broker, shows_nothing, rights(auth.default))
    assert auth.jwt is not None
    try:
        return TokenAuthenticator(auth, make_keys(auth.jwt))
    except BadKeyError as error:
        raise ConfigError(f"auth.jwt.{error.key}: {error}") from None


def make_keys(jwt: JwtSettings) -> Keys:
    """The keys of ``jwt``; raises BadKeyError."""
    key = key_of(jwt)
    if jwt.jwks_url is not None:
        from wsgw.access.jwks import Jwks  # httpx takes long

        return Jwks(jwt.jwks_url, key.algorithms)
    return OneKey("secret" if jwt.secret_file is None else "secret_file", key)

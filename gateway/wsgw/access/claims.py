"""From a token's claims to an identity: user, rights, the end of its time. The signature has been checked before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wsgw.access.compact import refusal
from wsgw.access.identity import MAX_USER_CHARS, Identity, is_user
from wsgw.access.rights import Rights, rights_of
from wsgw.channels.channel import Use
from wsgw.channels.template import claim
from wsgw.config.auth import AuthSettings, JwtSettings, RightsSettings
from wsgw.errors import TOKEN_EXPIRED, GatewayError

MAX_ROLES = 1000

_NOTHING = object()


class Claims:
    """Reads the claims of tokens as ``auth`` (with ``jwt``) says."""

    def __init__(self, auth: AuthSettings) -> None:
        assert auth.jwt is not None
        self._jwt: JwtSettings = auth.jwt
        self._default = rights(auth.default)
        self._roles_claim = None if auth.roles is None else auth.roles.claim
        self._roles = {} if auth.roles is None else {name: rights(given) for name, given in auth.roles.map.items()}

    def identity(self, claims: Mapping[str, Any], now: float) -> Identity:
        """Who has a token with these ``claims``, at the Unix time ``now``.

        Raises GatewayError: token_expired, or unauthenticated where the token is another's or not valid yet, or has
        claims of a form that cannot be meant.
        """
        self._check_for_whom(claims)
        leeway = self._jwt.leeway
        begins, ends = _time(claims, "nbf"), _time(claims, "exp")
        if begins is not None and begins > now + leeway:
            raise refusal("is not valid yet ('nbf')")
        if ends is not None and ends + leeway <= now:
            raise GatewayError(TOKEN_EXPIRED, "the token has expired ('exp')")
        return Identity(_user(claims), self._rights(claims), claims, None if ends is None else ends + leeway)

    def _check_for_whom(self, claims: Mapping[str, Any]) -> None:
        issuer, audience = self._jwt.issuer, self._jwt.audience
        if issuer is not None and claims.get("iss") != issuer:
            raise refusal(f"is not by the issuer {issuer!r} ('iss')")
        if audience is not None:
            meant = claims.get("aud")
            if not any(one in audience for one in ([meant] if isinstance(meant, str) else _texts(meant))):
                raise refusal(f"is not for the audience {' or '.join(map(repr, audience))} ('aud')")

    def _rights(self, claims: Mapping[str, Any]) -> Rights:
        found = [self._roles[role] for role in self._roles_of(claims) if role in self._roles]
        value = claim(claims, self._jwt.claim, _NOTHING)
        if value is not _NOTHING:
            try:
                found.append(rights_of(value))
            except ValueError as error:
                raise refusal(f"has a claim {self._jwt.claim!r} that says no rights: {error}") from None
        if not found:
            return self._default
        together = found[0]
        for more in found[1:]:
            together |= more
        return together

    def _roles_of(self, claims: Mapping[str, Any]) -> list[str]:
        value = _NOTHING if self._roles_claim is None else claim(claims, self._roles_claim, _NOTHING)
        if value is _NOTHING:
            return []
        roles = value.split(" ") if isinstance(value, str) else value
        if not isinstance(roles, list) or len(roles) > MAX_ROLES or _texts(roles) != roles:
            raise refusal(f"has a claim {self._roles_claim!r} that is no list of roles")
        return list(dict.fromkeys(roles))


def rights(given: RightsSettings) -> Rights:
    """As the configuration has them."""
    return Rights({use: getattr(given, use.value) for use in Use}, {use: getattr(given.deny, use.value) for use in Use})


def _user(claims: Mapping[str, Any]) -> str | None:
    user = claims.get("sub", _NOTHING)
    if user is _NOTHING:
        return None
    if not is_user(user):
        raise refusal(f"has a 'sub' that is no text of 1 to {MAX_USER_CHARS} characters without control characters")
    return user


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name, _NOTHING)
    if value is _NOTHING:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refusal(f"has a time that is no number ({name!r})")
    return float(value)


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

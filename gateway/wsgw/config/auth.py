"""The section ``auth``: who clients are, and what they may do."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from wsgw.channels.subjects import subject_problem
from wsgw.config.delegate import DelegateSettings
from wsgw.config.values import Delay, Model, Url, is_token, said

MAX_CLAIM_CHARS = 256


def _name(value: str) -> str:
    problem = subject_problem(value, wildcards=True)
    if problem is not None:
        raise ValueError(f"{value[:64]!r} {problem}")
    return value


def _token(value: str) -> str:
    if not is_token(value):
        raise ValueError(f"{value[:64]!r} is no name of letters, digits and - or _")
    return value


def _header(value: str) -> str:
    if _token(value).lower().startswith("nats-"):
        raise ValueError(f"{value!r} is one of NATS' own headers")
    return value


def _claim(value: str) -> str:
    if not value or len(value) > MAX_CLAIM_CHARS or not value.isprintable():
        raise ValueError(f"a claim's name has 1 to {MAX_CLAIM_CHARS} characters, and no control characters")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _path(value: str) -> str:
    if not value:
        raise ValueError("the path of a file is expected here")
    return value


Name = Annotated[str, AfterValidator(_name)]
Token = Annotated[str, AfterValidator(_token)]
Header = Annotated[str, AfterValidator(_header)]
Claim = Annotated[str, AfterValidator(_claim)]
Path = Annotated[str, AfterValidator(_path)]


class NamesSettings(Model):
    """Channels by what can be done with them: names, and patterns in NATS' syntax."""

    subscribe: list[Name] = Field(default=[], max_length=1000, description="To subscribe to.")
    publish: list[Name] = Field(default=[], max_length=1000, description="To send to.")
    request: list[Name] = Field(default=[], max_length=1000, description="To ask.")


class RightsSettings(NamesSettings):
    """What may be done; ``deny`` wins."""

    deny: NamesSettings = Field(default=NamesSettings(), description="What may not, whatever else is said.")


class JwtSettings(Model):
    """Tokens (JSON Web Tokens), and by which key they are known."""

    secret: SecretStr | None = Field(
        default=None, description="What signs tokens (HMAC), at least 32 bytes. Better in a file of its own:"
    )
    secret_file: Path | None = Field(
        default=None,
        description="The file with that secret, such as `/run/secrets/jwt`; a line break at its end does not belong "
        "to it. Read at the start, from the working directory where the path is relative.",
    )
    public_key_file: Path | None = Field(
        default=None, description="The file with a public key or a certificate, in PEM form; read at the start."
    )
    jwks_url: Url | None = Field(
        default=None, description="Where an identity provider has its public keys (a JWKS); read again and again."
    )
    algorithms: list[str] | None = Field(
        default=None,
        min_length=1,
        description="What tokens may be signed by, and by nothing else. By default `HS256` with a secret, that of the "
        "key (`RS256`, `ES256`, `EdDSA`, …) with a public key, `RS256`, `ES256` and `EdDSA` with `jwks_url`.",
    )
    issuer: Annotated[str | None, BeforeValidator(said)] = Field(
        default=None, description="What a token's `iss` has to be; any, where not given."
    )
    audience: Annotated[list[str] | None, BeforeValidator(_listed), BeforeValidator(said)] = Field(
        default=None,
        min_length=1,
        description="What has to be in a token's `aud`: one, or a list of which one is enough; any, where not given.",
    )
    leeway: Delay = Field(default=5.0, description="How far clocks may be apart: a token's time is longer by that.")
    claim: Claim = Field(
        default="wsgw",
        description="Where in a token its rights are: a claim, or the way to a nested one, `a.b`. A claim with dots in "
        "its name, such as `https://id.example/wsgw`, is looked for first.",
    )

    @model_validator(mode="after")
    def _one_key(self) -> JwtSettings:
        given = [key for key in KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            problem = f"{' and '.join(given)} are given" if given else "no key for tokens is given"
            raise ValueError(f"{problem}; one of {', '.join(KEYS)} is needed")
        return self


#: The settings that say with what tokens are checked; one of them is given.
KEYS = ("secret", "secret_file", "public_key_file", "jwks_url")


class RolesSettings(Model):
    """Rights by role, for identity providers that cannot put them into a token."""

    claim: Claim = Field(
        description="Where in a token its roles are, such as `realm_access.roles`: a list, or a text with blanks "
        "between them, as `scope` is."
    )
    map: dict[str, RightsSettings] = Field(
        description="The rights of each role, as in a token: `{trader: {subscribe: [prices], publish: [orders]}}`. "
        "They are added to those of the token; roles that are not here mean nothing."
    )


class IdentityHeadersSettings(Model):
    """Headers of NATS on what clients publish and ask."""

    user: Header | None = Field(default=None, description="The header with the token's `sub`, such as `Wsgw-User`.")
    session: Header | None = Field(
        default=None, description="The header with a text that is the session's own, such as `Wsgw-Session`."
    )

    @model_validator(mode="after")
    def _different(self) -> IdentityHeadersSettings:
        if self.user is not None and self.session is not None and self.user.lower() == self.session.lower():
            raise ValueError(f"user and session are both {self.user!r}")
        return self


#: Keys that mean nothing beside ``delegate``.
OF_TOKENS = ("roles", "query_parameter", "cookie")


class AuthSettings(Model):
    """Who clients are, and what they may do."""

    jwt: JwtSettings | None = Field(default=None, description="Clients show tokens (JSON Web Tokens).")
    delegate: DelegateSettings | None = Field(
        default=None, description="Instead of `jwt`: your own endpoint, or NATS service, says who a client is."
    )
    anonymous: RightsSettings | None = Field(
        default=None,
        description='What clients may do that show no token, as rights in a token: `{subscribe: ["public.*"]}`. Where '
        "not given they are refused. Who has a token has these rights only where it says so.",
    )
    default: RightsSettings = Field(
        default=RightsSettings(),
        description="What clients may do whose token has neither the claim `jwt.claim` nor a role of `roles.map`.",
    )
    roles: RolesSettings | None = Field(default=None, description="Rights by roles that a token names.")
    query_parameter: Token | None = Field(
        default=None,
        description="The query parameter that may have the token, for clients that can send it in no other way; off "
        "where not given. Proxies log queries; the gateway does not.",
    )
    cookie: Token | None = Field(default=None, description="The cookie that may have the token; off where not given.")
    identity_headers: IdentityHeadersSettings | None = Field(
        default=None, description="Headers by which back-ends know who sent a message; none where not given."
    )

    @property
    def cookie_key(self) -> str | None:
        """The key that makes a cookie say who a client is; None where none does."""
        if self.cookie is not None:
            return "auth.cookie"
        return "auth.delegate.headers" if self.delegate is not None and "cookie" in self.delegate.headers else None

    @model_validator(mode="after")
    def _one_way(self) -> AuthSettings:
        if (self.jwt is None) == (self.delegate is None):
            given = "one of jwt, delegate" if self.jwt is None else "jwt and delegate are two ways; one of them"
            raise ValueError(f"{given} is needed")
        if self.delegate is not None:
            for key in OF_TOKENS:
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} is for tokens, of which the gateway knows nothing with delegate")
        return self

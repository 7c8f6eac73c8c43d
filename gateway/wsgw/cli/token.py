"""``wsgw token``: make a token for tests, or say whether a token is taken and why not."""

from __future__ import annotations

import asyncio
import sys
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import click
import jwt
import orjson
from jwt.exceptions import PyJWTError

from wsgw.access.authentication import make_authenticator
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of
from wsgw.config import file as configfile
from wsgw.config.auth import AuthSettings, JwtSettings
from wsgw.config.file import split_names
from wsgw.config.keys import hmac_secret, key_of
from wsgw.config.load import load
from wsgw.config.settings import DEFAULT_FILE
from wsgw.config.values import seconds
from wsgw.errors import ConfigError, GatewayError
from wsgw.protocols.handshake import Handshake

NEVER = "never"
MAX_READ_CHARS = 1024 * 1024
_NOBODY = Handshake("", b"", (), "")


def _expires(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    """In seconds; negative is in the past."""
    try:
        sign = -1 if value.startswith("-") else 1
        return None if value == NEVER else sign * seconds(value.removeprefix("-"))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _claims(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        try:
            found[key] = orjson.loads(value)
        except ValueError:
            found[key] = value
    return found


@click.command(
    epilog="""\b
Examples:
  wsgw token --user ann --subscribe 'orders,chat.*' --publish chat.lobby
  wsgw token --user ann --claim tenant=acme --expires 5m
  wsgw token --inspect - < token.txt""",
)
@click.option("-c", "--config", "file", metavar="FILE", default=DEFAULT_FILE, show_default=True, help="Configuration.")
@click.option("--user", metavar="NAME", help="Whose it is: its claim 'sub'.")
@click.option("--subscribe", metavar="NAME,…", help="Channels to subscribe to, and patterns.")
@click.option("--publish", metavar="NAME,…", help="Channels to send to.")
@click.option("--request", metavar="NAME,…", help="Channels to ask.")
@click.option(
    "--expires",
    metavar="TIME",
    default="1h",
    show_default=True,
    callback=_expires,
    help=f"How long it lasts: 30s, 5m, 7d, {NEVER}; -5m is over already.",
)
@click.option(
    "--claim",
    "claims",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_claims,
    help="Another claim: JSON, or else a text; may be repeated.",
)
@click.option("--inspect", metavar="TOKEN", help="Show what this one says, and whether it is taken; - reads it.")
def token(
    file: str,
    user: str | None,
    expires: float | None,
    claims: dict[str, Any],
    inspect: str | None,
    **rights: str | None,
) -> None:
    """Make a token for tests, signed with the secret of the configuration (auth.jwt), and print it.

    With --inspect: print the header and the claims of a token as JSON, and say whether the gateway takes it: exit 0
    when it does, else 1 with the reason.
    """
    given = {use: split_names(names) for use, names in rights.items() if names is not None}
    if inspect is not None:
        if user is not None or given or claims:
            raise click.UsageError("--inspect looks at a token; what is to be in it is for one that is made")
        raise SystemExit(_inspect(file, sys.stdin.read(MAX_READ_CHARS) if inspect == "-" else inspect))
    try:
        rights_of(given)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
    auth, settings = _settings(file)
    said = _said(settings, user, expires) | ({settings.claim: given} if given else {}) | claims
    text = _signed(file, settings, said)
    reason, _ = asyncio.run(_taken(auth, text))
    if reason is not None:
        click.echo(f"warning: the gateway does not take it: {reason}", err=True)
    click.echo(text)


def _said(settings: JwtSettings, user: str | None, expires: float | None) -> dict[str, Any]:
    now = int(time.time())
    said = {
        "sub": user,
        "iss": settings.issuer,
        "aud": settings.audience[0] if settings.audience else None,
        "iat": now,
        "exp": None if expires is None else now + int(expires),
    }
    return {name: value for name, value in said.items() if value is not None}


def _signed(file: str, settings: JwtSettings, claims: Mapping[str, Any]) -> str:
    for public in ("jwks_url", "public_key_file"):
        if getattr(settings, public) is not None:
            _end(f"{file}: auth.jwt.{public}: a public key signs no tokens; who has the private one makes them")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short secret: check-config tells it
        return jwt.encode(dict(claims), hmac_secret(settings), key_of(settings).algorithms[0])


def _inspect(file: str, text: str) -> int:
    """Say what there is to say of ``text``; returns the exit code."""
    text = text.strip()
    try:
        decoded = jwt.decode_complete(text, options={"verify_signature": False})
        shown = orjson.dumps({"header": decoded["header"], "claims": decoded["payload"]}, option=orjson.OPT_INDENT_2)
    except (PyJWTError, ValueError, TypeError, RecursionError):
        click.echo("not taken: it is no JSON Web Token", err=True)
        return 1
    click.echo(shown.decode())
    auth, _ = _settings(file)
    reason, identity = asyncio.run(_taken(auth, text))
    if identity is None:
        click.echo(f"not taken: {reason}", err=True)
        return 1
    until = "for ever: it has no 'exp'"
    if identity.expires_at is not None:
        until = f"until {datetime.fromtimestamp(min(identity.expires_at, 2**35), UTC):%Y-%m-%d %H:%M:%S} UTC"
    click.echo(
        f"taken: user {identity.user!r}, {until}; may {orjson.dumps(identity.rights.as_json()).decode()}", err=True
    )
    return 0


async def _taken(auth: AuthSettings, text: str) -> tuple[str | None, Identity | None]:
    """Why the gateway would not take the token ``text``, or whose it is."""
    authenticator = make_authenticator(auth)
    authenticator.start()
    try:
        found = authenticator.identify(_NOBODY, text)
        return None, found if isinstance(found, Identity) else await found
    except GatewayError as error:
        return error.message, None
    finally:
        await authenticator.close()


def _settings(file: str) -> tuple[AuthSettings, JwtSettings]:
    try:
        auth = load(environment={}, file=configfile.read(file)).auth
    except ConfigError as error:
        _end(str(error))
    if auth is None or auth.jwt is None:
        _end(f"{file}: auth.jwt: is not there; tokens are neither made nor taken without it")
    return auth, auth.jwt


def _end(text: str) -> NoReturn:
    click.echo(text, err=True)
    raise SystemExit(1)

"""The settings of NATS: where it is, what it is shown, and how the gateway and it know one another."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from wsgw.channels.subjects import subject_problem
from wsgw.config.file import split_names
from wsgw.config.natsfiles import TlsFiles
from wsgw.config.values import Model, section


def _servers(value: object) -> list[str]:
    servers = split_names(value) if isinstance(value, str) else value
    if not isinstance(servers, list) or not servers:
        raise ValueError("at least one NATS URL is needed")
    return [_nats_url(str(url)) for url in servers]


def _nats_url(url: str) -> str:
    if "://" not in url:
        url = f"nats://{url}"
    try:
        parts = urlsplit(url)
    except ValueError:  # which shows what may be a password
        what = "brackets, which are of IPv6 addresses and %5B and %5D elsewhere, or a letter that no host has"
        raise ValueError(f"{url.rpartition('@')[2]!r}: there are {what}") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # the start of a password would be taken for a port
        raise ValueError("a user or password has /, ? or # in it, which are %2F, %3F and %23 in a URL")
    try:
        good = parts.hostname and (parts.port is None or parts.port > 0) and not parts.netloc.endswith(":")
    except ValueError:
        good = False
    if not good or parts.scheme not in ("nats", "tls"):
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        more = "; NATS over WebSocket is not spoken" if parts.scheme in ("ws", "wss") else ""
        raise ValueError(f"{shown!r} is not a NATS URL such as nats://HOST:4222 or tls://HOST:4222{more}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:  # a token, maybe
        raise ValueError("there is more behind the port of a NATS URL, which is not used: nats://HOST:4222 is one")
    return url


def _inbox_prefix(value: str) -> str:
    problem = subject_problem(value, wildcards=False)
    if problem is not None:
        raise ValueError(f"{value!r} {problem}")
    return value


def _path(value: object) -> object:
    if value is None or value == "":
        raise ValueError("a file is expected here; leave the key out where there is none")
    return value


File = Annotated[str | None, BeforeValidator(_path)]


class NatsTlsSettings(Model):
    """TLS towards NATS."""

    ca_file: File = Field(
        default=None,
        validate_default=False,
        description="Certificates (PEM) of those that may sign a server's; the system's where not given.",
    )
    certificate_file: File = Field(
        default=None,
        validate_default=False,
        description="The gateway's own certificate (PEM, with those between it and its CA), where NATS asks for one.",
    )
    key_file: File = Field(
        default=None, validate_default=False, description="The key of `certificate_file` (PEM, without a password)."
    )
    handshake_first: bool = Field(
        default=False,
        description="TLS begins before a server says anything, as nats-server's `handshake_first: true` demands.",
    )

    def files(self) -> TlsFiles:
        """As it is read when a connection is made."""
        return TlsFiles(self.ca_file, self.certificate_file, self.key_file, self.handshake_first)


class NatsSettings(Model):
    """Where NATS is, and what to show it."""

    servers: Annotated[list[str], BeforeValidator(_servers)] = Field(
        default=["nats://localhost:4222"],
        description="`nats://` or `tls://` URLs, tried in turn; a user or token in a URL wins over `user` and `token`.",
    )
    user: str | None = Field(default=None, description="User name.")
    password: SecretStr | None = Field(default=None, description="Password of `user`.")
    token: SecretStr | None = Field(default=None, description="Token, instead of user and password.")
    credentials_file: File = Field(
        default=None,
        validate_default=False,
        description="Or a user's JWT and seed, as `nsc generate creds` writes them.",
    )
    nkey_seed_file: File = Field(
        default=None, validate_default=False, description="Or the seed (`SU…`) of a user's nkey."
    )
    tls: Annotated[NatsTlsSettings | None, section("{} for TLS as it is, and leave it out for none")] = Field(
        default=None,
        validate_default=False,
        description="TLS is required, of `nats://` URLs, too; `{}` with all defaults. See docs/security.md.",
    )
    inbox_prefix: Annotated[str, AfterValidator(_inbox_prefix)] = Field(
        default="_INBOX",
        description="What subjects begin with that NATS answers the gateway on, where an account permits another.",
    )

    @property
    def names_files(self) -> bool:
        """Whether there are files by which NATS and the gateway know one another."""
        return self.tls is not None or self.credentials_file is not None or self.nkey_seed_file is not None

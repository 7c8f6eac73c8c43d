"""Where the gateway listens, for clients and for operators, by TLS or not; and below which path it is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from wsgw.config.addresses import TcpAddress, address_of, addresses_of, clash
from wsgw.config.values import Model, said, section

MAX_LISTENED = 32
MAX_BASE_PATH_CHARS = 64

#: What needs no escape in a path (RFC 3986 section 3.3), so that there is one way to write it.
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")


class TlsSettings(Model):
    """TLS for clients, on all addresses with a port."""

    certificate_file: str = Field(
        min_length=1,
        description="The certificate in PEM form, and behind it those of who signed it. Read again when it changes.",
    )
    key_file: str = Field(min_length=1, description="Its private key in PEM form, not encrypted.")


def admin_problem(listen: str | Sequence[str], port: int | None, admin: str | Sequence[str]) -> str | None:
    """Why operators cannot have a listener at ``admin``."""
    found = clash(addresses_of(admin), addresses_of(listen, port))
    if found is None:
        return None
    own, of_clients = map(str, found)
    return f"{own!r} is where clients are listened for" + ("" if own == of_clients else f", by {of_clients!r}")


def tls_problem(listen: str | Sequence[str]) -> str | None:
    """Why there is nothing for ``tls``."""
    if any(isinstance(each, TcpAddress) for each in addresses_of(listen)):
        return None
    return "'listen' has no address with a port, and a unix socket has no TLS"


def port_problem(listen: str | Sequence[str], port: int | None) -> str | None:
    """Why ``port`` cannot take the place of that of ``listen``."""
    with_port = sum(isinstance(each, TcpAddress) for each in addresses_of(listen))
    if port is None or with_port == 1:
        return None
    return f"'listen' has {with_port} addresses with a port, and this is for one; say the ports there"


def _listen(value: object) -> str | list[str]:
    if not isinstance(value, list | tuple):
        address_of(str(value))
        return str(value)
    entries = [str(each) for each in value]
    if not 0 < len(entries) <= MAX_LISTENED:
        raise ValueError(f"one address is expected here, or a list of at most {MAX_LISTENED}")
    found = clash(addresses_of(entries))
    if found is not None:
        one, other = map(str, found)
        raise ValueError(
            f"{other!r} is there twice" if one == other else f"{one!r} and {other!r} cannot both be had: they overlap"
        )
    return entries


def _base_path(value: object) -> str:
    text = str(value)
    segments = text[1:].split("/")
    if not text.startswith("/") or len(text) > MAX_BASE_PATH_CHARS:
        raise ValueError(f"{text[:64]!r} is not a path such as /rt, of at most {MAX_BASE_PATH_CHARS} characters")
    if text == "/":
        raise ValueError("'/' is where everything is without it; leave it out")
    if text.endswith("/"):
        raise ValueError(f"{text!r} ends with a slash; leave that out")
    if not all(_SEGMENT.fullmatch(each) and each not in (".", "..") for each in segments):
        raise ValueError(f"{text!r} has more in it than names of letters, digits and - . _ ~ with a slash before each")
    return text


Listen = Annotated[str | list[str], BeforeValidator(_listen)]


class AdminSettings(Model):
    """A listener for operators alone."""

    listen: Listen = Field(
        description="Where `/metrics` and the details of `/readyz` are then, as in `listen`; without TLS."
    )


Admin = Annotated[AdminSettings | None, section("leave it out where operators ask where clients do")]
BasePath = Annotated[str | None, BeforeValidator(_base_path), BeforeValidator(said)]
Tls = Annotated[TlsSettings | None, section("leave it out where clients are to use no TLS")]

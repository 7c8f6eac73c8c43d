"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from wsgw import log
from wsgw.cli import address

F = TypeVar("F", bound=Callable[..., Any])

#: What can stand among the subprotocols of a WebSocket (RFC 6455 section 4.1).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class AddressType(click.ParamType[address.Address]):
    """A URL of one of the sides, as an :class:`~wsgw.cli.address.Address`."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> address.Address:
        if isinstance(value, address.Address):
            return value
        try:
            return address.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _checked_token(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _TOKEN.fullmatch(value):
        raise click.BadParameter("a token has no blanks, and no characters but those of a header's name")
    return value


def log_options(command: F) -> F:
    """``-l/--logLevel`` and ``-f/--logFormat``, as the arguments ``log_level`` and ``log_format``."""
    command = click.option(
        "-f",
        "--logFormat",
        "log_format",
        type=click.Choice(log.FORMATS),
        default="plainText",
        show_default=True,
        envvar="WSGW_LOG_FORMAT",
        show_envvar=True,
        help="Form of the log lines.",
    )(command)
    return click.option(
        "-l",
        "--logLevel",
        "log_level",
        type=click.Choice(list(log.LEVELS)),
        default="info",
        show_default=True,
        envvar="WSGW_LOG_LEVEL",
        show_envvar=True,
        help="Least important level to print.",
    )(command)


def connection_options(topic_help: str) -> Callable[[F], F]:
    """``-u/--uri``, ``-t/--topic``, ``--token`` and ``--timeout``, by those names; ``uri`` is an Address."""

    def add(command: F) -> F:
        command = click.option(
            "--token",
            metavar="TOKEN",
            envvar="WSGW_TOKEN",
            show_envvar=True,
            callback=_checked_token,
            help="Shown to a gateway that asks who its clients are ('wsgw token' makes one); other users of this "
            "machine can read it here, but not in the variable.",
        )(command)
        command = click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True, max=86_400),
            default=5.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for the other side: to be reachable, to confirm, to reply.",
        )(command)
        command = click.option("-t", "--topic", default="message", show_default=True, help=topic_help)(command)
        return click.option(
            "-u",
            "--uri",
            type=AddressType(),
            default="http://localhost:3007",
            show_default=True,
            help="The other side: http(s):// is Socket.IO, ws(s):// plain WebSocket, nats:// or tls:// NATS.",
        )(command)

    return add

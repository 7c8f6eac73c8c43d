"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from wsgw import log
from wsgw.cli import address

F = TypeVar("F", bound=Callable[..., Any])


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
    """``-u/--uri``, ``-t/--topic`` and ``--timeout``, as ``uri`` (an Address), ``topic`` and ``timeout``."""

    def add(command: F) -> F:
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

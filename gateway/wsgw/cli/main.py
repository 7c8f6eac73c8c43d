"""The programs ``wsgw`` and ``easer``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from wsgw import __version__
from wsgw.cli import output

#: Command -> the module it is in, under its name with "_" for "-".
_MODULES: dict[str, str] = {
    "server": "wsgw.cli.server",
    "consumer": "wsgw.cli.consumer",
    "producer": "wsgw.cli.producer",
    "check-config": "wsgw.cli.check_config",
    "token": "wsgw.cli.token",
}


def _load(module: str, name: str) -> click.Command:
    command = getattr(import_module(module), name)
    assert isinstance(command, click.Command)
    return command


class _Commands(click.Group):
    """Imports a command's module when it is asked for: a client starts in a third of the time without the gateway."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program; ``main`` is the same with whatever standard streams there are."""
        output.install("wsgw")
        return super().__call__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        return _load(_MODULES[cmd_name], cmd_name.replace("-", "_"))


@click.group(
    cls=_Commands,
    epilog="""\b
Examples:
  wsgw server                                             run the gateway with ./wsgw.yml
  wsgw consumer -u http://localhost:3007 -t IN            print what clients of IN get
  wsgw producer -u nats://localhost:4222 -t IN -m '{}'    publish on NATS
  wsgw check-config wsgw.yml                              say what is wrong with a configuration
  wsgw token --user ann --subscribe IN                    make a token for tests

'wsgw COMMAND --help' tells the options of a command.""",
)
@click.version_option(__version__, prog_name="wsgw")
def wsgw() -> None:
    """A gateway between browsers (WebSocket, Socket.IO) and NATS, and clients for both of its sides."""


def easer() -> None:
    """The program ``easer``: the gateway with the original's name, options and defaults."""
    output.install("easer")
    _load("wsgw.cli.server", "easer")()

"""The programs ``wsgw`` and ``easer``."""

from __future__ import annotations

import click

from wsgw import __version__
from wsgw.cli.check_config import check_config
from wsgw.cli.consumer import consumer
from wsgw.cli.producer import producer
from wsgw.cli.server import easer, server

__all__ = ["easer", "wsgw"]


@click.group(
    epilog="""\b
Examples:
  wsgw server                                             run the gateway with ./wsgw.yml
  wsgw consumer -u http://localhost:3007 -t IN            print what clients of IN get
  wsgw producer -u nats://localhost:4222 -t IN -m '{}'    publish on NATS
  wsgw check-config wsgw.yml                              say what is wrong with a configuration

'wsgw COMMAND --help' tells the options of a command."""
)
@click.version_option(__version__, prog_name="wsgw")
def wsgw() -> None:
    """A gateway between browsers (WebSocket, Socket.IO) and NATS, and clients for both of its sides."""


for _command in (server, consumer, producer, check_config):
    wsgw.add_command(_command)

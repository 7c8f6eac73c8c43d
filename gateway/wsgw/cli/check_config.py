"""``wsgw check-config FILE``: say what is wrong with a configuration before it is used."""

from __future__ import annotations

import click

from wsgw.config import file as configfile
from wsgw.config.load import hints, load
from wsgw.errors import ConfigError


@click.command("check-config", epilog="Example: wsgw check-config wsgw.yml")
@click.argument("file")
def check_config(file: str) -> None:
    """Check the configuration FILE: exit 0 when it can be used, else 1 with a line for each thing that is wrong.

    Only the file is looked at, not the environment.
    """
    try:
        read = configfile.read(file)
        for warning in read.warnings:
            click.echo(f"warning: {warning}", err=True)
        checked = load(environment={}, file=read)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    for hint in hints(checked, read):
        click.echo(f"warning: {hint}", err=True)
    count = len(checked.channels)
    click.echo(f"{file}: good, {count} channel{'s' if count != 1 else ''}")

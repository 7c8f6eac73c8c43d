"""``wsgw check-config FILE``: say what is wrong with a configuration before it is used."""

from __future__ import annotations

import click

from wsgw.config import file as configfile
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.config.settings import Settings
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
    for hint in (*hints(checked, read), *_unsettled(checked, read)):
        click.echo(f"warning: {hint}", err=True)
    count = len(checked.channels)
    click.echo(f"{file}: good, {count} channel{'s' if count != 1 else ''}")


def _unsettled(settings: Settings, file: configfile.ConfigFile) -> list[str]:
    """What a gateway says, too, but only when the first client comes whom it is about."""
    if settings.trusted_proxies is not None or all(limit is None for _, limit in settings.limits.address):
        return []
    place = file.where(("limits", "address"))
    return [
        f"{place}: limits.address: does not apply to who may be a proxy, or says to come by one, without "
        "'trusted_proxies': set that to the addresses of the proxies, or to [] where there are none"
    ]

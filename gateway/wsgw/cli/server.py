"""``wsgw server`` and ``easer``: run the gateway. One body; they differ in what they listen on and insist on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from wsgw import log as logs
from wsgw.broker.servers import masked
from wsgw.cli import output
from wsgw.config import file as configfile
from wsgw.config.addresses import TcpAddress
from wsgw.config.file import ConfigFile, Look, channels_of, split_names
from wsgw.config.hints import hints
from wsgw.config.load import channels_replaced_by, load
from wsgw.config.origins import ANY
from wsgw.config.settings import DEFAULT_FILE, LogSettings, Settings
from wsgw.errors import ConfigError, WsgwError
from wsgw.process import server as process
from wsgw.process.reloader import Source

log = logging.getLogger("wsgw.server")

F = TypeVar("F", bound=Callable[..., Any])

#: Options of the original that switch on features which are not the gateway's: taken, and warned about.
_IGNORED: tuple[tuple[str, ...], ...] = (("-b", "--basePath"), ("-r", "--restApiPath"), ("--topicPrefix",))
_IGNORED_FLAGS: tuple[tuple[str, ...], ...] = (
    ("-s", "--staticContentPath"),
    ("-m", "--enableMocking"),
    ("--parseRaw",),
    ("--parseJson",),
    ("--parseXml",),
    ("--parseUrlencoded",),
)


def _options(command: F) -> F:
    for option in reversed(
        (
            click.option("-c", "--config", "file", metavar="FILE", help="The configuration file."),
            click.option("-d", "--dumpConfig", "dump", is_flag=True, help="Print the configuration in effect."),
            click.option(
                "-n", "--natsUri", "nats", metavar="URL,…", help="NATS servers  [default: nats://localhost:4222]"
            ),
            click.option("-p", "--port", metavar="PORT", help="The port to listen on  [default: 3007]"),
            click.option("--listen", metavar="HOST:PORT", help="The address and port to listen on, or unix:/PATH."),
            click.option("-i", "--inbound", metavar="NAME,…", help="Channels from NATS to clients."),
            click.option("-o", "--outbound", metavar="NAME,…", help="Channels from clients to NATS."),
            click.option("-w", "--useWebsocket", "websocket", is_flag=True, help="Serve clients (easer: to be given)."),
            click.option("-u", "--useMessaging", "--usePdms", "messaging", is_flag=True, help="Use NATS (always on)."),
            click.option("-l", "--logLevel", "level", metavar="LEVEL", help=f"One of {', '.join(logs.LEVELS)}."),
            click.option("-t", "--logFormat", "format", metavar="FORMAT", help="plainText or json."),
            click.option("--exit-if-no-nats", is_flag=True, help="End with an error when NATS is not there at start."),
            *(click.option(*names, hidden=True, expose_value=True, help="Ignored.") for names in _IGNORED),
            *(click.option(*names, hidden=True, is_flag=True, help="Ignored.") for names in _IGNORED_FLAGS),
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog="Example: wsgw server -n nats://localhost:4222 -i IN -o OUT",
)
@_options
def server(**options: Any) -> None:
    """Run the gateway, with ./wsgw.yml where there is one and no -c is given; listens on 127.0.0.1 unless told."""
    if options["file"] is None and Path(DEFAULT_FILE).exists():
        options["file"] = DEFAULT_FILE
    _run("wsgw", options, [])


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog='Example: easer -u -w -i "IN" -o "OUT"',
)
@_options
@click.pass_context
def easer(context: click.Context, /, **options: Any) -> None:
    """Run the gateway as the original easer did: with its options, on all interfaces."""
    if not options["websocket"] and _truth("EASER_USE_WEBSOCKET") is not True:
        raise click.UsageError(
            "this easer is the gateway between WebSocket clients and NATS only: start it with -u -w, "
            'for example  easer -u -w -i "IN" -o "OUT"'
        )
    _run("easer", options, list(context.args))


def _run(program: str, options: Mapping[str, Any], unknown: list[str]) -> None:
    seen = configfile.look(options["file"]) if options["file"] else None
    try:
        file = configfile.read(options["file"]) if options["file"] else None
        settings = load(_command_line(program, options, file), file=file)
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(f"{program}: {line}", err=True)
        raise SystemExit(1) from None
    # clients are worth more than the log
    output.run_on()
    logs.setup(program, settings.log.level, settings.log.format)
    for warning in [*_warnings(options, unknown, file), *hints(settings, file)]:
        log.warning("%s", warning)
    if options["dump"]:
        click.echo(dump(settings), nl=False)
    hosts = {each.host for each in settings.addresses if isinstance(each, TcpAddress)}
    if program == "easer" and hosts & {"0.0.0.0", "::"}:  # noqa: S104  it is warned of
        log.warning(
            "listening on all interfaces without authentication: anybody who reaches the port can use the channels"
        )
    if program == "easer" and settings.origins == ANY:
        log.warning(
            "origins: any: every page that a browser opens which reaches the port can use the channels; "
            "set 'origins' in a file (-c): same, or a list"
        )
    source = _source(program, options, seen) if file is not None else None
    try:
        process.run(settings, exit_if_no_nats=options["exit_if_no_nats"], source=source)
    except WsgwError as error:
        log.error("%s", error)
        raise SystemExit(1) from None
    log.info("Shutdown process successfully finished")


def _command_line(program: str, options: Mapping[str, Any], file: ConfigFile | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if program == "easer" and (file is None or "listen" not in file.values):
        values["listen"] = "0.0.0.0:3007"
    if program == "easer" and (file is None or "origins" not in file.values):
        values["origins"] = ANY
    if options["listen"]:
        values["listen"] = options["listen"]
        values["port"] = None
    if options["port"] is not None:
        values["port"] = options["port"]
    if options["nats"] is not None:
        values["nats"] = {"servers": options["nats"]}
    if options["inbound"] is not None or options["outbound"] is not None:
        values["channels"] = channels_of(split_names(options["inbound"] or ""), split_names(options["outbound"] or ""))
    given = {"level": options["level"], "format": options["format"]}
    if any(value is not None for value in given.values()):
        values["log"] = {key: value for key, value in given.items() if value is not None}
    return values


def _warnings(options: Mapping[str, Any], unknown: list[str], file: ConfigFile | None) -> list[str]:
    found = list(file.warnings) if file is not None else []
    for names in (*_IGNORED, *_IGNORED_FLAGS):
        if options[names[-1].lstrip("-").lower()]:
            found.append(f"option {names[-1]} is one of easer's REST and mock features and is ignored")
    return found + [f"unknown option {argument} is ignored" for argument in unknown]


def dump(settings: Settings) -> str:
    """The configuration in effect as a file's text, secrets masked."""
    values = settings.model_dump(mode="json", exclude_none=True)
    values["nats"]["servers"] = [masked(url) for url in settings.nats.servers]
    auth = values.get("auth", {})
    for section, key in (("jwt", "jwks_url"), ("delegate", "url")):
        if key in auth.get(section, {}):
            address, mark, _ = auth[section][key].partition("?")  # it may be a key, as that of a function in a cloud
            auth[section][key] = f"{address}?***" if mark else address
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _source(program: str, options: Mapping[str, Any], seen: Look | None) -> Source:
    """The file of ``options``, to be read again with the same command line and environment."""
    path: str = options["file"]

    def read() -> tuple[Settings, list[str]]:
        file = configfile.read(path)
        command_line = _command_line(program, options, file)
        settings = load(command_line, file=file)
        notes = [*file.warnings, *hints(settings, file)]
        other = channels_replaced_by(command_line) if "channels" in file.values else None
        if other is not None:
            notes.append(f"{file.where(('channels',))}: channels: not used, the {other} has others in their place")
        return settings, notes

    def set_log(settings: LogSettings) -> None:
        logs.setup(program, settings.level, settings.format)

    return Source(path, seen, read, set_log)


def _truth(variable: str) -> bool | None:
    text = os.environ.get(variable, "").strip().lower()
    return text in ("1", "true", "yes", "on") if text else None

"""``wsgw producer``: send messages from the command line, from files and from scenarios."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import click

from wsgw import log as logs
from wsgw.cli import jsontext, scenario
from wsgw.cli.address import Address
from wsgw.cli.clients import client_for
from wsgw.cli.clients.base import Client, Unavailable
from wsgw.cli.clients.reach import Reach
from wsgw.cli.options import connection_options, log_options
from wsgw.cli.run import run
from wsgw.cli.scenario import ScenarioMessage
from wsgw.errors import ConfigError

log = logging.getLogger(__name__)


def message_from(text: str, channel: str, raw: bool) -> ScenarioMessage:
    """The message of one ``-m``: JSON as written, a JSON string unquoted; any text if ``raw``. Raises ConfigError."""
    try:
        value = text if raw else jsontext.parse(text)
        return ScenarioMessage(channel, scenario.encode(value if isinstance(value, str) else text))
    except ValueError as error:
        raise ConfigError(f"-m {text!r} is not JSON: {error} (--raw sends any text as it is)") from None


class Producer:
    """The work of the command."""

    def __init__(
        self, address: Address, messages: list[ScenarioMessage], rpc: bool, dump: bool, timeout_seconds: float
    ) -> None:
        self._address = address
        self._messages = messages
        self._rpc = rpc
        self._dump = dump
        self._timeout_seconds = timeout_seconds

    async def run(self) -> None:
        """Send everything; returns when every message was accepted. Raises Refused and Unavailable."""
        client = client_for(self._address, self._timeout_seconds)
        channels = list(dict.fromkeys(message.channel for message in self._messages))
        if self._address.channel_type == "NATS":
            log.info("pdms: Start up")
        try:
            await Reach(self._address, client, lambda: client.connect(channels), self._timeout_seconds).first()
            if self._address.channel_type == "NATS":
                log.info("pdms: Connected to NATS")
            log.info("App runs the jobs...")
            if self._dump:
                dump = [message.as_dump() for message in self._messages]
                log.info("Messages to publish: %s", json.dumps(dump, indent=2, ensure_ascii=False))
            for message in self._messages:
                await asyncio.sleep(message.delay_milliseconds / 1000)
                await self._send(client, message)
            await client.confirm()
            log.info("Successfully completed.")
        finally:
            await client.close()

    async def _send(self, client: Client, message: ScenarioMessage) -> None:
        line = f"{jsontext.one_line(message.payload)} >> [{message.channel}]"
        if self._rpc:
            log.info("%s", line)
            click.echo(jsontext.quoted(await client.request(message.channel, message.payload)))
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await client.publish(message.channel, message.payload)
        except TimeoutError:
            raise Unavailable(f"{self._address} took no message for {self._timeout_seconds:g} s") from None
        log.info("%s", line)


@click.command(
    epilog="""\b
Examples:
  wsgw producer -u http://localhost:3007 -t OUT -m '{"notes":"Some text..."}'
  wsgw producer -u nats://localhost:4222 -t IN -s scenario.yml -d
  wsgw producer -u nats://localhost:4222 -t math.sum -m '[1,2]' -r"""
)
@connection_options("Channel to send to; a step of a scenario can name its own.")
@click.option("-m", "--message", "texts", multiple=True, metavar="JSON", help="Message to send. Can be repeated.")
@click.option(
    "-c", "--content", "files", multiple=True, type=click.Path(path_type=Path), help="File whose content is a message."
)
@click.option(
    "-s",
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Path(path_type=Path),
    help="YAML or JSON list of {delay: MILLISECONDS, topic, message | file | scenario}; paths are relative to it.",
)
@click.option("-d", "--dumpMessages", "dump", is_flag=True, help="Print all messages before the first is sent.")
@click.option("-r", "--rpc", is_flag=True, help="Send requests and print their replies (not over ws://).")
@click.option("--raw", is_flag=True, help="Send texts and files as they are, JSON or not.")
@log_options
def producer(
    uri: Address,
    topic: str,
    token: str | None,
    timeout: float,
    texts: tuple[str, ...],
    files: tuple[Path, ...],
    scenarios: tuple[Path, ...],
    dump: bool,
    rpc: bool,
    raw: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Send messages to a channel: those of -m, then of -c, then of -s.

    Exit code 0 only if the other side accepted every message.
    """
    if not (texts or files or scenarios):
        raise click.UsageError("nothing to send: give at least one of -m, -c, -s")
    if rpc and uri.scheme in ("ws", "wss"):
        raise click.UsageError("-r is not possible over plain WebSocket: use http(s):// or nats://")
    try:
        channel = scenario.check_channel(topic)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'-t' / '--topic'") from None
    logs.setup("wsgw", log_level, log_format, verbatim=True)
    try:
        messages = [message_from(text, channel, raw) for text in texts]
        messages += [ScenarioMessage(channel, scenario.read_payload(path, raw)) for path in files]
        for path in scenarios:
            messages += scenario.load(path, channel, raw)
    except ConfigError as error:
        log.error("%s", error)
        sys.exit(1)
    uri = replace(uri, token=token)
    work = Producer(uri, messages, rpc, dump, timeout)
    sys.exit(run(work.run, uri, interrupted="stopped by a signal: not every message was sent and accepted"))

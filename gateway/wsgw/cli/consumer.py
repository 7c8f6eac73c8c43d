"""``wsgw consumer``: print every message that comes on one or more channels."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace

import click

from wsgw import log as logs
from wsgw.backoff import Backoff
from wsgw.cli import jsontext
from wsgw.cli.address import Address
from wsgw.cli.clients import client_for
from wsgw.cli.clients.base import Unavailable, first_of
from wsgw.cli.clients.reach import PAUSE_SECONDS, Reach
from wsgw.cli.options import connection_options, log_options
from wsgw.cli.run import run

log = logging.getLogger(__name__)

#: A connection that lasted this long was a good one: the next attempt comes soon.
_STABLE_SECONDS = 5.0


def channels_of(topic: str) -> list[str]:
    """The channels in ``-t``, each once. Raises ValueError for an empty one."""
    names = [name.strip() for name in topic.split(",")]
    if not all(names):
        raise ValueError(f"{topic!r}: there is an empty name in the list")
    return list(dict.fromkeys(names))


class Consumer:
    """The work of the command. ``topic`` is ``-t`` as given, for the log."""

    def __init__(self, address: Address, topic: str, channels: list[str], timeout_seconds: float) -> None:
        self._address = address
        self._topic = topic
        self._channels = channels
        self._timeout_seconds = timeout_seconds
        self._side = address.channel_type

    async def run(self) -> None:
        """Print messages until cancelled. Raises Refused."""
        if self._side == "NATS":
            log.info("pdms: Start up")
        else:
            self._announce()
        alone = client_for(self._address, self._timeout_seconds).one_channel_each
        groups = [[channel] for channel in self._channels] if alone else [self._channels]
        await first_of(*(self._consume(group) for group in groups))

    def _announce(self) -> None:
        log.info("App runs the jobs...")
        client = {"channelType": self._side, "uri": str(self._address), "topic": self._topic}
        log.info("wsgw client %s", jsontext.quoted(client))

    async def _consume(self, channels: list[str]) -> None:
        client = client_for(self._address, self._timeout_seconds)
        reach = Reach(self._address, client, lambda: client.subscribe(channels), self._timeout_seconds)
        clock = asyncio.get_running_loop().time
        backoff = Backoff(*PAUSE_SECONDS)
        try:
            await reach.first()
            if self._side == "NATS":
                log.info("pdms: Connected to NATS")
                self._announce()
            for channel in channels:
                log.info('Start listening to messages on %s "%s" topic', _SIDES[self._side], channel)
            while True:
                opened = clock()
                try:
                    await client.listen(self._received)
                except Unavailable as error:
                    log.warning("connection to %s lost, reconnecting: %s", self._address, error)
                await client.close()
                if clock() - opened > _STABLE_SECONDS:
                    backoff.reset()
                await asyncio.sleep(backoff.next())
                await reach.again()
                log.info("connection to %s is back", self._address)
        finally:
            await client.close()

    def _received(self, channel: str, payload: object) -> None:
        log.info("%s[%s] >> %s", self._side, channel, jsontext.quoted(payload))


_SIDES = {"WS": "WebSocket", "NATS": "NATS"}


@click.command(
    epilog="""\b
Examples:
  wsgw consumer -u http://localhost:3007 -t IN
  wsgw consumer -u ws://localhost:3007 -t IN,NEWS
  wsgw consumer -u nats://localhost:4222 -t OUT"""
)
@connection_options("Channel to listen to, or several: IN,NEWS")
@log_options
def consumer(uri: Address, topic: str, token: str | None, timeout: float, log_level: str, log_format: str) -> None:
    """Print every message that comes on a channel, until Ctrl-C.

    Once connected it reconnects for ever. Exit code 0 after a signal, 1 if the other side cannot be reached or refuses.
    """
    try:
        channels = channels_of(topic)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'-t' / '--topic'") from None
    logs.setup("wsgw", log_level, log_format, verbatim=True)
    uri = replace(uri, token=token)
    sys.exit(run(Consumer(uri, topic, channels, timeout).run, uri))

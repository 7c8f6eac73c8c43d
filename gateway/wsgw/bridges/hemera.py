"""The NATS side of an inbound channel of hemera's: a fixed one, whose clients get what a service's action would get."""

from __future__ import annotations

import logging

from wsgw.bridges.fixed import FixedBridge
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.channels.hemera import Codec, Unlike
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication
from wsgw.shares.repeats import Repeats

log = logging.getLogger("wsgw.bridge")


class HemeraBridge(FixedBridge):
    """Implements ``Bridge``. What is no message of hemera's is delivered as it is; the log tells it now and then."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub) -> None:
        super().__init__(channel, broker, hub)
        assert channel.hemera is not None
        self._codec = Codec(channel.hemera)
        self._foreign = Repeats(log)

    # -- inside

    def _deliver(self, publication: Publication) -> None:
        payload = self._codec.unwrap(publication.payload)
        if payload is Unlike.ELSEWHERE:
            self._keeper.received += 1
            return
        if isinstance(payload, bytes):
            publication.payload = payload  # nobody else has it yet, and its headers stay
        else:
            line = f"channel {self.channel.name}: what is no message of hemera's is delivered as it is"
            self._foreign.say(logging.WARNING, line)
        super()._deliver(publication)

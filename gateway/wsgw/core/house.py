"""What a session needs of the gateway."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from wsgw.access.rules import Rules
from wsgw.bridges.base import Bridge
from wsgw.broker.broker import Broker
from wsgw.channels.channel import Channel
from wsgw.channels.table import ChannelTable
from wsgw.core.drain import Drain
from wsgw.core.edge import Edge
from wsgw.core.expiries import Expiries
from wsgw.core.identityheaders import IdentityHeaders
from wsgw.core.outbound import Outlets
from wsgw.core.permits import Permits
from wsgw.fanout.hub import Hub
from wsgw.metrics import Metrics


class Reconfigured(Protocol):
    """A session, as a change of the channels sees it."""

    def look_up_again(self) -> None:
        """What was found of names is not so any more."""

    def reconfigured(self, doubtful: Collection[Bridge], added: Sequence[str]) -> None:
        """End what is subscribed by ``doubtful`` bridges and does not belong there any more, and tell the client.

        And of channels, by name, that it may subscribe to since.
        """


class House(Protocol):
    """The gateway, as its sessions see it."""

    channels: ChannelTable
    rules: Rules
    broker: Broker
    hub: Hub
    outlets: Outlets
    drain: Drain
    edge: Edge
    expiries: Expiries
    permits: Permits
    metrics: Metrics
    #: what goes with all that clients send
    identity_headers: IdentityHeaders | None
    #: those with a client, connected or about to be
    sessions: set[Reconfigured]
    #: how many are connected, by transport
    connected: dict[str, int]

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that is taken of a client now: what NATS takes, or less."""

    def bridge_of(self, channel: Channel) -> Bridge:
        """The bridge of a channel that delivers."""

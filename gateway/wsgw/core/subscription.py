"""One name that a session is subscribed to."""

from __future__ import annotations

import sys
from typing import Protocol

from wsgw.bridges.base import Bridge
from wsgw.channels.channel import Channel
from wsgw.errors import GatewayError

#: What one to a name of a channel with many subjects takes in memory, beside the name: this object, and a place in the
#: tables of session, interest and audience.
SUBSCRIPTION_BYTES = 200
#: And what the answer of who was asked about it takes.
PERMIT_BYTES = 800


class Subscriber(Protocol):
    """A session, as its subscriptions see it."""

    def refused(self, name: str, error: GatewayError) -> None:
        """NATS refuses ``name``, which it is subscribed to."""


class Subscription:
    """It is itself what a bridge tells that NATS refuses the name (``OnRefused``): a client may have very many."""

    __slots__ = ("_counts", "_subscriber", "bridge", "key", "listening", "name", "told")

    def __init__(self, subscriber: Subscriber, name: str, key: str, bridge: Bridge) -> None:
        """``key`` is that of ``name`` for this client (``channels.template``)."""
        self._subscriber = subscriber
        self.name = name
        self.key = key
        self.bridge = bridge
        #: the sender gets what comes
        self.listening = False
        #: the number of the newest gap of which the client was told for it, or that is none for it
        self.told = 0
        self._counts = bridge.channel.has_many_subjects

    def __call__(self, error: GatewayError) -> None:
        self._subscriber.refused(self.name, error)

    @property
    def channel(self) -> Channel:
        """The channel that the name belongs to, as it is now."""
        return self.bridge.channel

    @property
    def size_bytes(self) -> int:
        """What counts as kept; channels with a name of their own are as few as the configuration has."""
        if not self._counts:
            return 0
        of_key = 0 if self.key is self.name else sys.getsizeof(self.key)
        permit = 0 if self.bridge.channel.authorize is None else PERMIT_BYTES
        return SUBSCRIPTION_BYTES + permit + sys.getsizeof(self.name) + of_key

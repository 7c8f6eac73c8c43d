"""Who a client is."""

from __future__ import annotations

import math

from wsgw.access.identity import Identity
from wsgw.access.seats import Seat
from wsgw.protocols.handshake import Handshake
from wsgw.shares.bucket import Bucket


class Spent:
    """What is measured of one connection; a later session of it goes on with that.

    By the connection's own rates, ``messages`` and ``bytes`` (None where there is no limit), and in which time it was
    ``over`` these or others that apply to it, on end: from when on, and up to when. The clock is that of ``Seats``.
    """

    __slots__ = ("bytes", "messages", "over_since", "over_until")

    def __init__(self, messages: Bucket | None = None, bytes: Bucket | None = None) -> None:
        self.messages = messages
        self.bytes = bytes
        self.over_since = self.over_until = -math.inf


class Principal:
    """A client: known by its ``transport`` and what its ``handshake`` said (path, query, headers).

    The handshake is there while the session is being opened and what it may do is found out; then it is let go of
    (``settle``): cookies and tokens are not kept for as long as a connection lives, nor their bytes.

    A Socket.IO connection has one: a client that connects again on it, after it left, is who it was, and is not
    admitted anew.
    """

    __slots__ = ("client", "grant", "handshake", "identity", "network", "seat", "spent", "transport")

    def __init__(self, transport: str, handshake: Handshake) -> None:
        #: the value of the ``transport`` label in metrics
        self.transport = transport
        #: the address of the other end, empty where it is not known
        self.client = handshake.client
        #: what limits by address count it as (an address, or an IPv6 network); None where the address says nothing
        self.network: str | None = handshake.network
        #: what counts its connection, None where nothing does
        self.seat = handshake.seat if isinstance(handshake.seat, Seat) else None
        #: what is measured of its connection; None before that is
        self.spent: Spent | None = None
        self.handshake: Handshake | None = handshake
        #: who it proved to be; None without authentication, and before it
        self.identity: Identity | None = None
        #: what the rules found out of the handshake, for themselves
        self.grant: object = None

    def __str__(self) -> str:
        """For the log."""
        who = [self.transport, self.client, repr(self.user) if self.user is not None else ""]
        return " ".join(filter(None, who))

    @property
    def user(self) -> str | None:
        """What back-ends call it; None of who has not said."""
        return None if self.identity is None else self.identity.user

    def settle(self) -> None:
        """Forget the handshake."""
        self.handshake = None

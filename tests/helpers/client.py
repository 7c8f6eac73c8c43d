"""What the contract suite asks of a client, whichever library and transport is behind it."""

from __future__ import annotations

from typing import Protocol

from helpers.gateway import GatewayProcess


class Refused(Exception):
    """The gateway does not let the client connect; ``code`` is the error's name in the gateway's table."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Client(Protocol):
    """One client of a gateway."""

    #: What came on channels, in order: channel and payload, as the library hands it to its user. Plain WebSocket keeps
    #: the order per channel only, for there each channel is a connection.
    received: list[tuple[str, str | bytes]]

    @property
    def connected(self) -> bool:
        """Whether it has a connection, and no part of it was closed."""

    @property
    def upgraded(self) -> bool:
        """Whether it speaks WebSocket now."""

    async def send(self, channel: str, payload: str | bytes) -> None:
        """Send a message, without waiting for its acknowledgement."""

    async def confirm(self) -> list[str]:
        """Wait until all that was sent is settled; the error of each message that was refused, in order.

        A plain WebSocket client learns it by closing its connections, and at most one error for each.
        """

    async def request(self, channel: str, payload: str | bytes) -> str | bytes:
        """A request's reply; raises Refused."""

    async def close(self) -> None:
        """Say goodbye; harmless when called again."""

    async def vanish(self) -> None:
        """Drop the connection without a goodbye."""


class Transport(Protocol):
    """A library and the transport it is told to use."""

    name: str
    #: Acknowledges each message by itself, and survives a refused one.
    acks: bool
    #: Begins with polling and changes to WebSocket.
    upgrades: bool

    async def open(
        self, gateway: GatewayProcess, *channels: str, everything: bool = False, alone: bool = False
    ) -> Client:
        """A client subscribed to ``channels``, from the return on; raises Refused.

        With ``everything`` it asks for nothing in particular, and gets every inbound channel (Socket.IO only). One
        that is to vanish has to be ``alone``: clients may share a process.
        """

    async def close(self) -> None:
        """Close every client it opened."""

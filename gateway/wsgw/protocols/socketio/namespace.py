"""A namespace that clients connect to, and its refusal."""

from __future__ import annotations

from typing import Protocol

from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.handler import Handler
from wsgw.protocols.socketio.socket import Socket


class ConnectRefused(Exception):
    """A CONNECT is not accepted; ``message`` and ``data`` go to the client's ``connect_error``."""

    def __init__(self, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Namespace(Protocol):
    """The application's side of a namespace."""

    async def connect(self, socket: Socket, auth: Json | None) -> Handler:
        """The handler for a new socket. May wait, is cancelled when the connection ends; raises ConnectRefused."""

"""Who a client of Socket.IO says that it is: with its CONNECT, and again by the event ``wsgw:refresh``."""

from __future__ import annotations

import asyncio

import orjson

from wsgw.access.principal import Principal
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import BAD_REQUEST, OVERLOADED, UNAUTHENTICATED, UNKNOWN_CHANNEL, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.answers import Answers
from wsgw.surfaces.socketio.subscriptions import failed

REFRESH = "wsgw:refresh"
#: Of a CONNECT's payload in which a token is looked for.
MAX_AUTH_CHARS = 65_536
_KEY = "token"


class Refresh:
    """Of one socket, one at a time; ``close`` it."""

    __slots__ = ("_answers", "_gateway", "_principal", "_session", "_socket", "_task")

    def __init__(
        self, gateway: Gateway, socket: Socket, session: Session, principal: Principal, answers: Answers
    ) -> None:
        self._gateway = gateway
        self._socket = socket
        self._session = session
        self._principal = principal
        self._answers = answers
        self._task: asyncio.Task[None] | None = None

    def begin(self, argument: Argument, ack: Ack | None) -> None:
        """The client has a new token; ``ack`` tells what becomes of it. Raises GatewayError."""
        if self._gateway.authenticator is None:
            raise GatewayError(UNKNOWN_CHANNEL, f"there is no channel {REFRESH!r}: this gateway asks for no token")
        if type(argument) is not str:
            raise GatewayError(BAD_REQUEST, f"{REFRESH} takes a token, which is a text")
        if self._task is not None:
            raise GatewayError(OVERLOADED, "a token of this client is being looked at already")
        self._task = asyncio.get_running_loop().create_task(self._refresh(argument, ack), name="a new token")
        self._task.add_done_callback(self._done)

    def close(self) -> None:
        """The socket has ended."""
        if self._task is not None:
            self._task.cancel()

    # -- inside

    async def _refresh(self, token: str, ack: Ack | None) -> None:
        try:
            identity = await self._gateway.identity_of(nothing_said(self._principal.client), token)
            await self._session.refresh(identity)
        except GatewayError as error:
            self._answers.add(ack, error.with_traceback(None))
        else:
            self._answers.add(ack, None)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            failed(self._socket, fault)


def token_of(auth: Json | None) -> str | None:
    """The token in a CONNECT's payload, None where there is none; raises GatewayError where what is there is none."""
    if auth is None or f'"{_KEY}"' not in auth.raw:
        return None
    said = None
    if len(auth.raw) <= MAX_AUTH_CHARS:
        try:
            said = orjson.loads(auth.raw)
        except orjson.JSONDecodeError:
            said = None
    if not isinstance(said, dict):
        raise GatewayError(UNAUTHENTICATED, "the payload of CONNECT is too long, or no object, to find a token in it")
    token = said.get(_KEY)
    if token is not None and not isinstance(token, str):
        raise GatewayError(UNAUTHENTICATED, f"auth.{_KEY} is no text")
    return token


def nothing_said(client: str) -> Handshake:
    """A request that shows nothing, from the address ``client``."""
    return Handshake("", b"", (), client)

"""The Socket.IO namespace ``/`` of the gateway: event names are channels.

A socket gets every inbound channel, or those named in the handshake's ``channels`` query (comma-separated).
"""

from __future__ import annotations

from wsgw.access.principal import Principal
from wsgw.closecodes import ABNORMAL
from wsgw.config.file import split_names
from wsgw.core.gateway import Gateway
from wsgw.core.session import not_the_same_user
from wsgw.errors import TOO_MANY_SUBJECTS, GatewayError
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.recovery import returning
from wsgw.protocols.socketio.socket import Socket
from wsgw.protocols.socketio.wire import SOCKETIO_WIRE
from wsgw.protocols.start import start_of
from wsgw.surfaces.socketio.channels import ChannelsHandler
from wsgw.surfaces.socketio.knownclient import KnownClient
from wsgw.surfaces.socketio.payloads import error_of
from wsgw.surfaces.socketio.refresh import nothing_said, token_of

#: What a name that a handshake asks for takes in memory, beside its characters.
NAME_BYTES = 60


class ChannelsNamespace:
    """Implements ``namespace.Namespace``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def connect(self, socket: Socket, auth: Json | None) -> ChannelsHandler:
        """See ``Namespace.connect``; refused where a channel asked for cannot be subscribed to."""
        again = returning(auth) if isinstance(socket.sender, StampingSender) else None
        known = socket.known
        if isinstance(known, KnownClient):  # again, for a few bytes: it counts as much as it costs
            names = len(self._gateway.channels.inbound() if known.asked is None else known.asked)
            socket.needless(names if again is None else names + len(again.joined) + len(again.left))
        else:
            try:
                known = socket.known = self._know(socket)
            except GatewayError as error:
                self._gateway.rejected(error.kind.name)
                raise ConnectRefused(error.message, error_of(error)) from None
        if self._gateway.authenticator is not None:
            try:
                await self._identify(known.principal, auth)
            except GatewayError as error:
                raise ConnectRefused(error.message, error_of(error)) from None
        asked = known.asked
        try:
            handler = ChannelsHandler(self._gateway, socket, known.principal, again)
        except GatewayError as error:
            raise ConnectRefused(error.message, error_of(error)) from None
        try:
            self._check_number(asked)
            await handler.begin(asked, known.start, again)
        except GatewayError as error:
            handler.rejected(error)
            raise ConnectRefused(error.message, error_of(error)) from None
        except BaseException:
            handler.disconnected(ABNORMAL)
            raise
        return handler

    @property
    def _most_names(self) -> int:
        """More than a client can be subscribed to."""
        return self._gateway.edge.limits.session_names + len(self._gateway.channels.inbound())

    async def _identify(self, principal: Principal, auth: Json | None) -> None:
        """Who the client is, by its CONNECT or its handshake; raises GatewayError, counted as rejected.

        One that was accepted before on its connection is who it was, and may say so anew.
        """
        token = token_of(auth)
        if principal.handshake is not None:
            await self._gateway.identify(principal, token)
        elif token is not None:
            identity = await self._gateway.identity_of(nothing_said(principal.client), token)
            if identity.user is None or identity.user != principal.user:
                raise not_the_same_user()
            principal.identity = identity

    def _check_number(self, asked: tuple[str, ...] | None) -> None:
        most = self._most_names
        if asked is not None and len(asked) > most:
            raise GatewayError(TOO_MANY_SUBJECTS, f"the handshake asks for more than {most} channels")

    def _know(self, socket: Socket) -> KnownClient:
        asked = socket.handshake.query.get("channels")
        names = None if asked is None else tuple(dict.fromkeys(split_names(asked)))[: self._most_names + 1]
        socket.keep(sum([len(name) + NAME_BYTES for name in names or ()]))
        start = start_of(socket.handshake.query, None)
        return KnownClient(Principal(SOCKETIO_WIRE.transport, socket.handshake), names, start)

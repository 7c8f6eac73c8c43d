"""``/ws/{channel}``: plain WebSocket, one channel per connection, a message is a payload.

The closing handshake is this surface's acknowledgement: a client's close is answered when all it published is
settled, with 1000 only if NATS accepted everything.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import orjson

from wsgw import closecodes
from wsgw.access.principal import Principal
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import DRAINING, FORBIDDEN, SLOW_CONSUMER, WRONG_DIRECTION, GatewayError, Kind
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.sender import Sender
from wsgw.protocols.websocket.wire import WEBSOCKET_WIRE
from wsgw.surfaces.application import gateway_of, principal_of
from wsgw.transports.accept import open_link, refuse
from wsgw.transports.asgi import Event, Receive, Send

log = logging.getLogger("wsgw.websocket")

TRANSPORT = WEBSOCKET_WIRE.transport


class ChannelWebSocket:
    """One connection: its link's ``Receiver`` and its session's ``SessionClient``. Raises as ``open_session``."""

    __slots__ = ("_closing", "_ended", "_link", "_name", "_refusal", "_sender", "_session")

    def __init__(self, gateway: Gateway, principal: Principal, name: str) -> None:
        self._name = name
        self._sender: Sender = gateway.sender(WEBSOCKET_WIRE, self._overflowed)
        self._session: Session = gateway.open_session(principal, self, self._sender)
        self._link: Link | None = None
        self._closing = False  # the client began the closing handshake
        self._refusal: GatewayError | None = None
        self._ended = False

    async def subscribe(self, *, must_receive: bool) -> None:
        """Subscribe where the channel delivers. A refusal is told by ``attach``: a browser sees only close codes.

        Without ``must_receive`` it will do that the client can publish, or only publish for that is its right. Raises
        GatewayError when the gateway stops meanwhile.
        """
        try:
            ready = self._session.join(self._name)
        except GatewayError as error:
            refusal: GatewayError | None = error
            if not must_receive and error.kind in (WRONG_DIRECTION, FORBIDDEN):
                refusal = self._session.why_not_publish(self._name)
                if refusal is not None and refusal.kind is WRONG_DIRECTION:
                    refusal = error
            if refusal is not None:
                self._refusal = refusal
                self._session.reject(refusal)
            return
        if ready is not None:
            await self._session.unless_stopped(ready)

    def attach(self, link: Link) -> None:
        """The connection is open: send what waits, or say why the client cannot stay."""
        self._link = link
        self._session.open()
        if self._refusal is not None:
            self._close(self._refusal.kind, self._refusal.message)
        elif self._session.draining:
            self.drain()
        else:
            self._sender.attach(link)
            self._session.listen()

    # -- Receiver

    def messages_received(self, messages: Sequence[Message]) -> None:
        self._session.publish(self._name, [message.data for message in messages], self._settled)

    def close_received(self, code: int, reason: str) -> None:
        self._sender.close()
        self._closing = True
        self._answer_close()

    def writing_paused(self) -> None:
        self._sender.pause()

    def writing_resumed(self) -> None:
        self._sender.resume()

    def lost(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            log.debug("websocket %s: closed with %d", self._name, code)
            self._sender.close()
            self._session.end(code)

    # -- Client

    def drain(self) -> None:
        if self._closing:
            return  # it is answered when what the client published is settled
        self._sender.finish()
        self._close(DRAINING, "the gateway is stopping")

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    def hold(self) -> None:
        if self._link is not None:
            self._link.pause_reading()

    def release(self) -> None:
        if self._link is not None:
            self._link.resume_reading()

    def refused(self, name: str, error: GatewayError) -> None:
        self._refusal = error
        self._close(error.kind, error.message)

    # -- inside

    def _settled(self, error: GatewayError | None) -> None:
        if error is not None:
            self._close(error.kind, error.message)
        if self._closing:
            self._answer_close()

    def _answer_close(self) -> None:
        if not self._session.unsettled and self._link is not None:
            self._link.close(closecodes.NORMAL)

    def _close(self, kind: Kind, reason: str) -> None:
        self._sender.close()
        if self._link is not None:
            self._link.close(kind.close_code, reason)

    def _overflowed(self) -> None:
        self._close(SLOW_CONSUMER, SLOW_CONSUMER.summary)


async def endpoint(scope: Event, receive: Receive, send: Send, name: str) -> None:
    """Serve one WebSocket on the channel ``name``; ``scope["app"]`` is the gateway's application."""
    gateway = gateway_of(scope)
    await receive()  # websocket.connect
    principal = principal_of(scope, TRANSPORT)
    must_receive = principal.handshake is not None and principal.handshake.query.get("receive") == "1"
    try:
        client = ChannelWebSocket(gateway, principal, name)
    except GatewayError as error:
        await _refuse(scope, send, error)
        return
    try:
        await client.subscribe(must_receive=must_receive)
        link = await open_link(scope, receive, send, client, gateway.max_payload_bytes)
        client.attach(link)
        log.debug("websocket %s: connected", name)
        await link.run()
    except GatewayError:
        client.lost(closecodes.ABNORMAL)
        await _refuse(scope, send, GatewayError(DRAINING, "the gateway is stopping"))
    except OSError:
        log.debug("websocket %s: the client went before the connection was open", name)
        client.lost(closecodes.ABNORMAL)
    except BaseException:
        client.lost(closecodes.ABNORMAL)
        raise


async def _refuse(scope: Event, send: Send, error: GatewayError) -> None:
    await refuse(scope, send, error.kind.http_status, orjson.dumps(error.as_json()))

"""``/ws/{channel}``: plain WebSocket, one channel per connection, a message is a payload.

The closing handshake is this surface's acknowledgement: a client's close is answered when all it published is
settled, with 1000 only if NATS accepted everything.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from urllib.parse import parse_qs

import orjson

from wsgw.core.backpressure import BackPressure
from wsgw.core.gateway import Gateway
from wsgw.core.outbound import Publisher
from wsgw.core.session import Session
from wsgw.errors import DRAINING, WRONG_DIRECTION, GatewayError, Kind
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.publication import Encoded, Publication
from wsgw.fanout.sender import Sender
from wsgw.surfaces.application import gateway_of
from wsgw.transports.accept import open_link, refuse, run_link
from wsgw.transports.asgi import Event, Receive, Send

log = logging.getLogger("wsgw.websocket")

TRANSPORT = "websocket"


class WebSocketWire:
    """A payload that is valid UTF-8 is a text message, any other a binary one."""

    transport = TRANSPORT

    def encode(self, name: str, publication: Publication) -> Encoded:
        payload = publication.payload
        return Encoded(Message(payload.isascii() or publication.text is not None, payload))


WIRE = WebSocketWire()


class ChannelWebSocket:
    """One connection; a ``Receiver`` of its link, and what the gateway's drain closes."""

    def __init__(self, gateway: Gateway, name: str, *, must_receive: bool = False) -> None:
        self._gateway = gateway
        self._name = name
        self._must_receive = must_receive
        self._session = Session(gateway, WIRE, self._refused, Sender(gateway.metrics, gateway.totals, TRANSPORT))
        self._link: Link | None = None
        self._publisher: Publisher | None = None
        self._unsettled = BackPressure(gateway.broker, self._hold, self._release)
        self._closing: int | None = None  # the client's code, once it began the closing handshake
        self._refusal: GatewayError | None = None
        self._ended = False

    async def subscribe(self) -> None:
        """Subscribe where the channel delivers. A refusal is told by ``attach``: a browser sees only close codes."""
        try:
            ready = self._session.join(self._name)
        except GatewayError as error:
            if error.kind is not WRONG_DIRECTION or self._must_receive or not self._publishes():
                self._refusal = error
                self._gateway.metrics.rejected.labels(error.kind.name).inc()
            return
        if ready is not None:
            await ready

    def attach(self, link: Link) -> None:
        """The connection is open: send what waits, or say why the client cannot stay."""
        self._link = link
        self._session.open(self)
        if self._refusal is not None:
            self._close(self._refusal.kind, self._refusal.message)
        elif self._gateway.draining:
            self.drain()
        else:
            self._session.sender.attach(link)
            self._session.listen()

    # -- Receiver

    def messages_received(self, messages: Sequence[Message]) -> None:
        payloads = [message.data for message in messages]
        size = sum([len(payload) for payload in payloads])
        self._unsettled.sent(len(payloads), size)
        settled = partial(self._settled, len(payloads), size)
        try:
            publisher = self._publisher or self._gateway.publisher(self._name, TRANSPORT)
        except GatewayError as error:
            settled(error)
            return
        self._publisher = publisher
        publisher.publish(payloads, settled)
        self._unsettled.check()

    def close_received(self, code: int, reason: str) -> None:
        self._session.sender.close()
        self._closing = code
        self._answer_close()

    def writing_paused(self) -> None:
        self._session.sender.pause()

    def writing_resumed(self) -> None:
        self._session.sender.resume()

    def lost(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            log.debug("websocket %s: closed with %d", self._name, code)
            self._session.sender.close()
            self._unsettled.close()
            self._session.end(self, code)

    # -- Drainable

    def drain(self) -> None:
        if self._closing is not None:
            return  # it is answered when what the client published is settled
        self._session.sender.finish()
        self._close(DRAINING, "the gateway is stopping")

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    # -- inside

    def _publishes(self) -> bool:
        return any(channel.accepts for channel in self._gateway.channels.meant_by(self._name))

    def _settled(self, count: int, size: int, error: GatewayError | None) -> None:
        self._unsettled.settled(count, size)
        if error is not None:
            self._close(error.kind, error.message)
        self._answer_close()

    def _hold(self) -> None:
        if self._link is not None:
            self._link.pause_reading()

    def _release(self) -> None:
        if self._link is not None:
            self._link.resume_reading()

    def _answer_close(self) -> None:
        if self._closing is not None and not self._unsettled.messages and self._link is not None:
            self._link.close(1000)

    def _close(self, kind: Kind, reason: str) -> None:
        self._session.sender.close()
        if self._link is not None:
            self._link.close(kind.close_code, reason)

    def _refused(self, name: str, error: GatewayError) -> None:
        self._refusal = error
        self._close(error.kind, error.message)


async def endpoint(scope: Event, receive: Receive, send: Send, name: str) -> None:
    """Serve one WebSocket on the channel ``name``; ``scope["app"]`` is the gateway's application."""
    gateway = gateway_of(scope)
    await receive()  # websocket.connect
    try:
        gateway.admit()
    except GatewayError as error:
        gateway.metrics.rejected.labels(error.kind.name).inc()
        await refuse(scope, send, error.kind.http_status, orjson.dumps(error.as_json()))
        return
    query = parse_qs(scope["query_string"])
    session = ChannelWebSocket(gateway, name, must_receive=query.get(b"receive") == [b"1"])
    try:
        await session.subscribe()
        link = await open_link(scope, receive, send, session, gateway.broker.max_payload_bytes)
        session.attach(link)
        log.debug("websocket %s: connected", name)
        await run_link(link)
    except OSError:
        log.debug("websocket %s: the client went before the connection was open", name)
        session.lost(1006)
    except BaseException:
        session.lost(1006)
        raise

"""``/ws/{channel}``: plain WebSocket, one channel per connection, a message is a payload.

The closing handshake is this surface's acknowledgement: a client's close is answered when all it published is
settled, with 1000 only if everything was accepted. Any other close says how much of it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import orjson

from wsgw import closecodes
from wsgw.access.principal import Principal
from wsgw.bridges.place import Coming, Place
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import OnGap
from wsgw.channels.start import NOW
from wsgw.core.gateway import Gateway
from wsgw.core.question import Denied
from wsgw.core.session import Session
from wsgw.errors import (
    CHANNEL_CHANGED,
    DRAINING,
    FORBIDDEN,
    GAP,
    SLOW_CONSUMER,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    GatewayError,
    Kind,
    LimitError,
)
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.envelope import gap, joined
from wsgw.protocols.websocket.request import WebSocketRequest, chosen, websocket_request
from wsgw.protocols.websocket.wire import ENVELOPE_WIRE, WEBSOCKET_WIRE
from wsgw.surfaces.answers import when_to_retry
from wsgw.surfaces.application import gateway_of, principal_of
from wsgw.transports.accept import open_link, refuse, turn_away
from wsgw.transports.asgi import Event, Receive, Send

log = logging.getLogger("wsgw.websocket")

TRANSPORT = WEBSOCKET_WIRE.transport

#: They are published together.
MESSAGES_AT_A_TIME = 256
#: What most ask for.
PLAIN = WebSocketRequest(envelope=False, subprotocol=None, start=NOW)


class ChannelWebSocket:
    """One connection: its link's ``Receiver`` and its session's ``SessionClient``. Raises as ``open_session``."""

    __slots__ = (
        "_accepted",
        "_closing",
        "_ended",
        "_enveloped",
        "_failure",
        "_link",
        "_name",
        "_refusal",
        "_sender",
        "_session",
        "_start",
        "_taken",
    )

    def __init__(
        self, gateway: Gateway, principal: Principal, name: str, asked: WebSocketRequest | GatewayError = PLAIN
    ) -> None:
        """``asked`` may be why it is none, which is told as other refusals are."""
        self._name = name
        self._refusal: GatewayError | None = None
        if isinstance(asked, GatewayError):
            self._refusal, asked = asked, PLAIN
        self._enveloped = asked.envelope
        self._start = asked.start
        wire = ENVELOPE_WIRE if asked.envelope else WEBSOCKET_WIRE
        self._sender: Sender = gateway.sender(wire, self._overflowed)
        try:
            self._session: Session = gateway.open_session(principal, self, self._sender)
        except GatewayError:
            self._sender.close()  # it has what has it
            raise
        self._link: Link | None = None
        self._closing = False  # the client began the closing handshake
        self._failure: GatewayError | None = None  # with which it is closed when what the client published is settled
        self._ended = False
        self._taken = 0  # messages of the client, and those of them that were accepted
        self._accepted = 0

    async def subscribe(self, *, must_receive: bool) -> None:
        """Subscribe where the channel delivers. A refusal is told by ``attach``: a browser sees only close codes.

        Without ``must_receive`` it will do that the client can publish, or only publish for that is its right. Raises
        GatewayError when the gateway stops meanwhile.
        """
        if self._refusal is not None:
            self._session.reject(self._refusal)
            return
        ready = None
        try:
            ready = self._session.join(self._name, self._start)
        except GatewayError as error:
            self._refusal = error.with_traceback(None)  # whose frames have this object: a cycle
        else:
            if ready is not None:
                await self._session.unless_stopped(ready)
        refusal = self._refusal
        if refusal is None or (ready is not None and not isinstance(refusal, Denied)):
            return
        if not must_receive and refusal.kind in (WRONG_DIRECTION, FORBIDDEN):
            self._refusal = await self._why_not_only_publish(refusal)
        if self._refusal is not None:
            self._session.reject(self._refusal)

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
            if self._session.is_paced and self._session.why_not_publish(self._name) is None:
                link.ask_before(self._session.is_in_time)

    # -- Receiver

    @property
    def messages_at_a_time(self) -> int:
        return self._session.at_a_time(MESSAGES_AT_A_TIME)

    def messages_received(self, messages: Sequence[Message]) -> None:
        count = len(messages)
        self._taken += count
        if self._failure is None:
            payloads = [message.data for message in messages]
            self._session.publish(self._name, payloads, partial(self._settled, count))

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
            self._sender.close()
            self._session.end(code)

    # -- Client

    def drain(self) -> None:
        if self._closing:
            return  # it is answered when what the client published is settled
        self._sender.finish()
        self._fail(GatewayError(DRAINING, "the gateway is stopping"))
        self._answer_close()

    def abort(self) -> None:
        if self._failure is not None:  # that is now told as far as it is known
            self._close(self._failure.kind, self._failure.message)
        if self._link is not None:
            self._link.abort()

    def hold(self) -> None:
        if self._link is not None:
            self._link.pause_reading()

    def release(self) -> None:
        if self._link is not None and self._failure is None:
            self._link.resume_reading()

    def expired(self, error: GatewayError) -> None:
        self._leave(error)

    def limited(self, error: GatewayError) -> None:
        self._leave(error)

    def refused(self, name: str, error: GatewayError) -> None:
        self._refusal = error
        if self._link is not None:  # else it is told when there is one, if that is all there is to it
            self._close(error.kind, error.message)

    def removed(self, name: str, error: GatewayError) -> None:
        """It is closed: a connection is what its channel is. Where the name leads anywhere it may come back."""
        if error.kind is WRONG_DIRECTION and self._session.why_not_publish(name) is None:
            error = GatewayError(CHANNEL_CHANGED, error.message)
        self._leave(error)

    def reconfigured(self, added: Sequence[str]) -> None:
        """Who only publishes is closed, too, where there is nothing to publish to any more."""
        if self._refusal is None and self._failure is None and not self._session.has(self._name):
            why = self._session.why_not_publish(self._name)
            if why is not None:
                self.removed(self._name, why)

    def placed(self, name: str, place: Place) -> None:
        """Told in envelopes only: a bare payload is what was published, and nothing else."""
        if not self._enveloped:
            if place.coming is Coming.GAP:
                self._close_on_gap()
            return
        if place.coming is Coming.GAP:
            self._sender.send(Encoded(Message(True, gap([name], place.missed))))
        recovered = None if place.coming is Coming.NEW else place.coming is Coming.RECOVERED
        self._sender.send(Encoded(Message(True, joined(place.id, recovered=recovered))))

    def gap(self, names: list[str]) -> None:
        if self._enveloped:
            self._sender.send(Encoded(Message(True, gap(names, None))))
        else:
            self._close_on_gap()

    # -- inside

    async def _why_not_only_publish(self, refusal: GatewayError) -> GatewayError | None:
        """Why the connection cannot be for who may not subscribe because of ``refusal``; None where it can."""
        asked = self._session.ask_to_publish(self._name)
        if asked is not None:
            await self._session.unless_stopped(asked)
        why = self._session.why_not_publish(self._name)
        if why is not None and why.kind in (WRONG_DIRECTION, UNKNOWN_CHANNEL):  # or a pattern itself
            why = refusal
        return None if why is None else why.with_traceback(None)

    def _leave(self, error: GatewayError) -> None:
        """Close with ``error`` behind what came before, and when it is known what became of what the client sent."""
        if self._link is None:
            self._refusal = error
        elif not self._closing:
            self._sender.finish()
            self._fail(error)
            self._answer_close()

    def _close_on_gap(self) -> None:
        """Where the channel wants it: a client that is told nothing could go on with what is old."""
        if self._session.on_gap(self._name) is OnGap.CLOSE:
            self._leave(GatewayError(GAP, GAP.summary))

    def _settled(self, count: int, result: PublishResult) -> None:
        if result is None:
            self._accepted += count
        elif isinstance(result, GatewayError):
            self._fail(result)
        else:
            errors = [receipt for receipt in result if isinstance(receipt, GatewayError)]
            self._accepted += count - len(errors)
            if errors:
                self._fail(errors[0])
        if self._closing or self._failure is not None:
            self._answer_close()

    def _fail(self, error: GatewayError) -> None:
        """Take nothing more, and close with ``error`` when it is known how much was accepted (``_answer_close``)."""
        if self._failure is None:
            self._failure = error
            self.hold()

    def _answer_close(self) -> None:
        if self._session.unsettled:
            return
        if self._failure is not None:
            self._close(self._failure.kind, self._failure.message)
        elif self._link is not None:
            self._link.close(closecodes.NORMAL)

    def _close(self, kind: Kind, reason: str) -> None:
        self._sender.close()
        if self._accepted < self._taken:
            reason = f"accepted {self._accepted} of {self._taken}: {reason}"
        if self._link is not None:
            self._link.close(kind.close_code, reason)

    def _overflowed(self) -> None:
        self._close(SLOW_CONSUMER, SLOW_CONSUMER.summary)


async def endpoint(scope: Event, receive: Receive, send: Send, name: str) -> None:
    """Serve one WebSocket on the channel ``name``; ``scope["app"]`` is the gateway's application."""
    gateway = gateway_of(scope)
    await receive()  # websocket.connect
    principal = principal_of(scope, TRANSPORT)
    try:
        gateway.arrive(principal)
    except GatewayError as error:
        await _refuse(scope, send, error)
        return
    must_receive = principal.handshake is not None and principal.handshake.query.get("receive") == "1"
    asked = _asked(scope, principal)
    client = await _client(gateway, principal, name, asked)
    if isinstance(client, GatewayError):
        stranger = gateway.authenticator is not None and principal.identity is None
        limited = isinstance(client, LimitError) and principal.user is not None
        if client.kind is not DRAINING and (stranger or limited):  # a page that may come has to know why not
            told = client.kind.close_code, client.message
            subprotocol = chosen(scope.get("subprotocols") or ())
            await turn_away(gateway.edge.parting, scope, receive, send, *told, subprotocol)
        else:
            await _refuse(scope, send, client)
        return
    try:
        await client.subscribe(must_receive=must_receive)
        subprotocol = None if isinstance(asked, GatewayError) else asked.subprotocol
        link = await open_link(scope, receive, send, client, gateway.max_payload_bytes, subprotocol)
        client.attach(link)
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


async def _client(
    gateway: Gateway, principal: Principal, name: str, asked: WebSocketRequest | GatewayError
) -> ChannelWebSocket | GatewayError:
    """One that has arrived, or why it cannot be."""
    try:
        if gateway.authenticator is not None:
            await gateway.identify(principal)
        return ChannelWebSocket(gateway, principal, name, asked)
    except GatewayError as error:
        return error.with_traceback(None)  # whose frames have the scope
    finally:
        gateway.arrived(principal)


def _asked(scope: Event, principal: Principal) -> WebSocketRequest | GatewayError:
    assert principal.handshake is not None
    try:
        return websocket_request(principal.handshake.query, scope.get("subprotocols") or ())
    except GatewayError as error:
        return error.with_traceback(None)


async def _refuse(scope: Event, send: Send, error: GatewayError) -> None:
    await refuse(scope, send, error.kind.http_status, orjson.dumps(error.as_json()), headers=when_to_retry(error))

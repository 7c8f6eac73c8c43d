"""The Socket.IO namespace ``/`` of the gateway: event names are channels.

A socket gets every inbound channel, or those named in the handshake's ``channels`` query (comma-separated), and more
by the events ``wsgw:subscribe`` and ``wsgw:unsubscribe``, which take one name and an ack.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial

import orjson

from wsgw.access.principal import Principal
from wsgw.channels.channel import Use
from wsgw.closecodes import ABNORMAL
from wsgw.config.file import split_names
from wsgw.core.gateway import Gateway
from wsgw.errors import BAD_REQUEST, DRAINING, INTERNAL, OVERLOADED, GatewayError
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument, Json
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.packets import SOCKETIO_WIRE
from wsgw.protocols.socketio.socket import Socket

log = logging.getLogger("wsgw.socketio")

SUBSCRIBE = "wsgw:subscribe"
UNSUBSCRIBE = "wsgw:unsubscribe"
#: Requests and subscriptions of one socket that may wait for NATS at a time.
MAX_TASKS = 1000

_TRUE = Json("true")


class ChannelsNamespace:
    """Implements ``namespace.Namespace``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def connect(self, socket: Socket, auth: Json | None) -> ChannelsHandler:
        """See ``Namespace.connect``; refused where a channel asked for cannot be subscribed to."""
        asked = socket.handshake.query.get("channels")
        try:
            handler = ChannelsHandler(self._gateway, socket)
        except GatewayError as error:
            raise ConnectRefused(error.message, _error(error)) from None
        try:
            await handler.subscribe(None if asked is None else list(dict.fromkeys(split_names(asked))))
        except GatewayError as error:
            handler.rejected(error)
            raise ConnectRefused(error.message, _error(error)) from None
        except BaseException:
            handler.disconnected(ABNORMAL)
            raise
        return handler


class ChannelsHandler:
    """One socket: its ``Handler``, and the ``SessionClient`` of its session. Raises as ``Gateway.open_session``."""

    def __init__(self, gateway: Gateway, socket: Socket) -> None:
        self._socket = socket
        self._session = gateway.open_session(Principal(SOCKETIO_WIRE.transport, socket.handshake), self, socket.sender)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing: asyncio.Lock | None = None  # made when first needed
        self._changes = 0  # of subscriptions, that are under way or wait for their turn
        # events that came in this tick, to be published together
        self._name = ""
        self._payloads: list[bytes] = []
        self._acks: list[Ack | None] = []
        self._joining: dict[str, GatewayError | None] = {}  # and why NATS refuses it, once it does

    async def subscribe(self, names: list[str] | None) -> None:
        """Take interest in all of ``names``, by default all there are; raises GatewayError when one is refused."""
        if names is None:
            names = self._session.inbound()
        self._joining |= dict.fromkeys(names)
        try:
            ready = [future for future in map(self._session.join, names) if future is not None]
            if ready:
                await asyncio.gather(*ready)
        finally:
            refusals = [error for name in names if (error := self._joining.pop(name, None)) is not None]
        if refusals:
            raise refusals[0]

    def rejected(self, error: GatewayError) -> None:
        """The client cannot stay."""
        self._session.reject(error)
        self._session.end(error.kind.close_code)

    # -- Handler

    def connected(self) -> None:
        self._session.listen()
        self._session.open()
        log.debug("socketio %s: connected, %s", self._socket.sid, ",".join(self._session.names))

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        try:
            payload = _payload(args)
            if name in (SUBSCRIBE, UNSUBSCRIBE):
                self._control(name, payload.decode(errors="replace"), ack)
                return
            outlet = self._session.outlet(name)
            if outlet.use is Use.REQUEST:
                self._start(self._request(name, payload, ack))
                return
            outlet.check(payload)  # alone, for all that are published together share one outcome
        except GatewayError as error:
            _answer(ack, error)
            return
        if name != self._name:
            self._publish_kept()
            self._name = name
        if not self._payloads:
            asyncio.get_running_loop().call_soon(self._publish_kept)
        self._payloads.append(payload)
        self._acks.append(ack)

    def disconnected(self, code: int) -> None:
        log.debug("socketio %s: closed with %d", self._socket.sid, code)
        self._publish_kept()
        for task in self._tasks:
            task.cancel()
        self._session.end(code)

    # -- Client

    def drain(self) -> None:
        self._socket.close(DRAINING.close_code)

    def abort(self) -> None:
        self._socket.abort()

    def hold(self) -> None:
        self._socket.hold()

    def release(self) -> None:
        self._socket.release()

    def refused(self, name: str, error: GatewayError) -> None:
        """A name that is being joined is answered for by ``subscribe``; any other ends the connection."""
        if name in self._joining:
            self._joining[name] = error
        else:
            self._socket.close(error.kind.close_code)

    # -- inside

    def _publish_kept(self) -> None:
        payloads, self._payloads = self._payloads, []
        acks, self._acks = self._acks, []
        if payloads:
            self._session.publish(self._name, payloads, partial(self._settled, acks))

    def _settled(self, acks: list[Ack | None], error: GatewayError | None) -> None:
        answer = _TRUE if error is None else _error(error)
        self._socket.answer([ack for ack in acks if ack is not None], answer)

    def _control(self, name: str, channel: str, ack: Ack | None) -> None:
        leave = name == UNSUBSCRIBE
        if leave and not self._changes:  # nothing to wait behind
            self._leave(channel, ack)
            return
        if self._changing is None:
            self._changing = asyncio.Lock()
        self._start(self._change_later(self._changing, channel, ack, leave=leave))
        self._changes += 1

    async def _change_later(self, turn: asyncio.Lock, name: str, ack: Ack | None, *, leave: bool) -> None:
        async with turn:  # one after the other, as they came: they may be about the same name
            try:
                if leave:
                    self._leave(name, ack)
                    return
                await self.subscribe([name])
            except GatewayError as refusal:
                _answer(ack, refusal)
            else:
                self._session.listen()
                _answer(ack, None)
            finally:
                self._changes -= 1

    def _leave(self, name: str, ack: Ack | None) -> None:
        known = self._session.unsubscribe(name)
        _answer(ack, None if known else GatewayError(BAD_REQUEST, f"this client is not subscribed to {name!r}"))

    async def _request(self, name: str, payload: bytes, ack: Ack | None) -> None:
        try:
            reply = await self._session.request(name, payload)
        except GatewayError as error:
            _answer(ack, error)
            return
        if ack is not None:
            try:
                ack(reply.decode())
            except UnicodeDecodeError:
                ack(reply)

    def _start(self, coroutine: Coroutine[object, object, None]) -> None:
        if len(self._tasks) >= MAX_TASKS:
            coroutine.close()
            raise GatewayError(OVERLOADED, f"{MAX_TASKS} requests of this client are waiting")
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            log.error("socketio %s: a fault", self._socket.sid, exc_info=fault)
            self._socket.close(INTERNAL.close_code)


def _payload(args: list[Argument]) -> bytes:
    """The one payload of an event, as bytes for NATS; raises GatewayError (bad_request)."""
    if len(args) != 1:
        raise GatewayError(BAD_REQUEST, f"one payload argument is expected, the event has {len(args)}")
    payload = args[0]
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, Json):
        if payload.problem is not None:
            raise GatewayError(BAD_REQUEST, payload.problem)
        return payload.raw.encode()
    return payload.encode()


def _answer(ack: Ack | None, error: GatewayError | None) -> None:
    if ack is not None:
        ack(_TRUE if error is None else _error(error))


def _error(error: GatewayError) -> Json:
    return Json(orjson.dumps(error.as_json()).decode())

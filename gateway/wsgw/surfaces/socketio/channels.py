"""One socket of the Socket.IO namespace ``/`` (``namespace``): event names are channels.

Its client may subscribe to more of them, and to less, by the events ``wsgw:subscribe`` and ``wsgw:unsubscribe``, which
take one name and an ack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from wsgw.access.principal import Principal
from wsgw.bridges.place import Coming, Place
from wsgw.broker.puback import PublishResult
from wsgw.broker.services import ServiceError
from wsgw.channels.channel import Use
from wsgw.channels.start import Start
from wsgw.core.gateway import Gateway
from wsgw.errors import DRAINING, GatewayError, Kind
from wsgw.fanout.publication import Publication
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument
from wsgw.protocols.socketio.recovery import Returning
from wsgw.protocols.socketio.socket import Socket
from wsgw.surfaces.socketio.answers import Answers
from wsgw.surfaces.socketio.payloads import (
    LARGE_CHARS,
    TRUE,
    answer_of,
    error_of,
    id_of,
    name_of,
    only,
    payload_of,
    size_of,
)
from wsgw.surfaces.socketio.recovery import GAP, Recovery, gap
from wsgw.surfaces.socketio.refresh import REFRESH, Refresh
from wsgw.surfaces.socketio.subscriptions import Subscriptions, failed

SUBSCRIBE = "wsgw:subscribe"
UNSUBSCRIBE = "wsgw:unsubscribe"
EXPIRED = "wsgw:expired"
#: What clients ask of the gateway itself.
EVENTS = frozenset({SUBSCRIBE, UNSUBSCRIBE, REFRESH})


class ChannelsHandler:
    """One socket: its ``Handler``, and the ``SessionClient`` of its session. Raises as ``Gateway.open_session``."""

    def __init__(self, gateway: Gateway, socket: Socket, principal: Principal, again: Returning | None) -> None:
        """``again`` is what a client says that comes back."""
        self._socket = socket
        self._session = gateway.open_session(principal, self, socket.sender)
        sender = socket.sender
        self._recovery = Recovery(socket, self._session, sender, again) if isinstance(sender, StampingSender) else None
        self._is_paced = self._session.is_paced
        self._answers = Answers(socket)
        self._refresh = Refresh(gateway, socket, self._session, principal, self._answers)
        self._subscriptions = Subscriptions(socket, self._session, self._recovery, self._answers, gateway.edge.slices)
        # events that came in this tick, to be published together
        self._name = ""
        self._payloads: list[bytes] = []
        self._acks: list[Ack | None] = []
        self._ids: list[str | None] = []
        self._max_payload_bytes = 0  # in it, of what needs no look by itself
        self._leaving: Kind | None = None  # why, as soon as all that came of it is settled

    async def begin(self, asked: Sequence[str] | None, start: Start, again: Returning | None) -> None:
        """Subscribe to the names ``asked`` for, by default all there are, from ``start`` on.

        A client that comes back (``again``) is to have what it had, from where it stood. Raises GatewayError when a
        name asked for is refused.
        """
        if again is not None:
            start = Start(after=again.after)
        await self._subscriptions.begin(asked, () if again is None else again.left, start)
        if self._recovery is None:
            return
        for name in again.joined if again is not None else ():
            try:
                await self._subscriptions.subscribe((name,), start)
            except GatewayError:
                self._recovery.lose(name)
        await self._recovery.begin(self._session.follow(), None if again is None else again.pid)

    def rejected(self, error: GatewayError) -> None:
        """The client cannot stay."""
        self._session.reject(error)
        self._end(error.kind.close_code)

    # -- Handler

    def connected(self) -> None:
        self._session.listen()
        self._session.open()
        if self._recovery is not None:
            self._recovery.connected()
        self._subscriptions.connected()
        self._socket.handshake.forget()  # what is needed of it for another CONNECT is known
        if self._session.draining:  # it began since, and told those that were connected
            self.drain()

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
        if self._is_paced:
            too_fast = self._session.refuse(None if name in EVENTS else name, size_of(args))
            if too_fast is not None:
                self._answer(ack, too_fast)
                return
        try:
            id = None
            if len(args) == 1 and isinstance(text := args[0], str):  # nearly all
                argument: Argument = text
                if name == self._name and self._payloads and len(text) <= LARGE_CHARS:  # one more of the same
                    payload = text.encode()
                    if len(payload) <= self._max_payload_bytes:
                        self._payloads.append(payload)
                        self._acks.append(ack)
                        self._ids.append(None)
                        return
            else:
                if len(args) == 2 and (id := id_of(args)) is not None and self._stores(name):
                    args = args[:1]
                argument = only(args)
            if name in EVENTS:
                if name == REFRESH:
                    self._refresh.begin(argument, ack)
                    return
                self._subscriptions.control(name_of(argument), ack, leave=name == UNSUBSCRIBE)
                return
            outlet = self._session.find(name)
            if isinstance(outlet, GatewayError):
                self._answer(ack, outlet)
                return
            payload = payload_of(argument, outlet)
            if outlet.use is Use.REQUEST:
                asking = self._session.request(name, payload)
                asking.add_done_callback(partial(self._replied, ack))
                return
            outlet.check(payload, self._session.headers_bytes)  # alone: what is published together has one outcome
        except GatewayError as error:
            self._answer(ack, error)
            return
        if name != self._name:
            self._publish_kept()
            self._name = name
        if not self._payloads:
            self._max_payload_bytes = outlet.unchecked_bytes - self._session.headers_bytes
            asyncio.get_running_loop().call_soon(self._publish_kept)
        self._payloads.append(payload)
        self._acks.append(ack)
        self._ids.append(id)

    def disconnected(self, code: int) -> None:
        self._publish_kept()
        self._answers.clear()
        self._end(code)

    # -- Client

    def drain(self) -> None:
        self._leave(DRAINING)

    def abort(self) -> None:
        self._socket.abort()

    def hold(self) -> None:
        self._socket.hold()

    def release(self) -> None:
        if self._leaving is None:
            self._socket.release()

    def expired(self, error: GatewayError) -> None:
        """The transport ends, not the socket alone: stock clients come back then, and ask for a token anew."""
        self._socket.emit(EXPIRED, error_of(error))
        self._leave(error.kind)

    def limited(self, error: GatewayError) -> None:
        self._leave(error.kind)

    def refused(self, name: str, error: GatewayError) -> None:
        """A name that is being joined is answered for by who joins it; any other ends the connection."""
        if not self._subscriptions.refused(name, error):
            self._socket.close(error.kind.close_code)

    def removed(self, name: str, error: GatewayError) -> None:
        self._subscriptions.removed(name, error)

    def reconfigured(self, added: Sequence[str]) -> None:
        self._subscriptions.added(added)

    def placed(self, name: str, place: Place) -> None:
        if self._recovery is not None:
            self._recovery.placed(name, place)
        elif place.coming is Coming.GAP:
            self._socket.emit(GAP, gap([name], place.missed))

    def gap(self, names: list[str]) -> None:
        self._socket.emit(GAP, gap(names, None))

    # -- inside

    def _end(self, code: int) -> None:
        self._subscriptions.close()
        self._refresh.close()
        self._session.end(code)
        if self._recovery is not None:
            self._recovery.close()

    def _leave(self, why: Kind) -> None:
        """Nothing more is taken of the client; close when it is told of all that came of it."""
        self._publish_kept()
        self._leaving = self._leaving or why
        self._leave_settled()

    def _leave_settled(self) -> None:
        assert self._leaving is not None
        if self._session.is_waited_for:
            self._socket.hold()
            return
        self._answers.send()
        self._socket.close(self._leaving.close_code)

    def _publish_kept(self) -> None:
        payloads, self._payloads = self._payloads, []
        acks, self._acks = self._acks, []
        ids, self._ids = self._ids, []
        if payloads:
            self._session.publish(self._name, payloads, partial(self._settled, acks), ids, paid=True)

    def _stores(self, name: str) -> bool:
        """Whether what is sent to ``name`` goes to a stream."""
        if name in EVENTS:
            return False
        outlet = self._session.find(name)
        return not isinstance(outlet, GatewayError) and outlet.channel.durable is not None

    def _answer(self, ack: Ack | None, error: GatewayError | None) -> None:
        self._answers.add(ack, error)

    def _settled(self, acks: list[Ack | None], result: PublishResult) -> None:
        if isinstance(result, list):
            told = zip(acks, result, strict=True)
            self._socket.answer_each([((ack,), answer_of(receipt)) for ack, receipt in told if ack is not None])
        else:
            answer = TRUE if result is None else error_of(result)
            self._socket.answer([ack for ack in acks if ack is not None], answer)
        if self._leaving is not None:
            self._leave_settled()

    def _replied(self, ack: Ack | None, asking: asyncio.Task[Publication]) -> None:
        error = None if asking.cancelled() else asking.exception()
        if isinstance(error, ServiceError):
            if ack is not None:
                ack(error_of(error))  # each has its own words, as replies have
        elif isinstance(error, GatewayError):
            self._answer(ack, error)
        elif error is not None:
            failed(self._socket, error)
        elif ack is not None and not asking.cancelled():
            reply = asking.result()
            ack(reply.payload if reply.text is None else reply.text)
        if self._leaving is not None:
            self._leave_settled()

"""One socket of the Socket.IO namespace ``/`` (``namespace``): event names are channels.

Its client may subscribe to more of them, and to less, by the events ``wsgw:subscribe`` and ``wsgw:unsubscribe``, which
take one name and an ack.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic

from wsgw.access.principal import Principal
from wsgw.bridges.place import Coming, Place
from wsgw.broker.puback import PublishResult
from wsgw.broker.services import ServiceError
from wsgw.channels.channel import Use
from wsgw.channels.start import NOW, Start
from wsgw.channels.table import shown
from wsgw.core.gateway import Gateway
from wsgw.errors import BAD_REQUEST, DRAINING, INTERNAL, OVERLOADED, GatewayError, Kind
from wsgw.fanout.publication import Publication
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Argument
from wsgw.protocols.socketio.recovery import Returning
from wsgw.protocols.socketio.socket import Socket
from wsgw.shares.slices import one_by_one
from wsgw.surfaces.socketio.change import Change
from wsgw.surfaces.socketio.payloads import LARGE_CHARS, TRUE, answer_of, error_of, id_of, name_of, only, payload_of
from wsgw.surfaces.socketio.recovery import GAP, Recovery, gap

log = logging.getLogger("wsgw.socketio")

SUBSCRIBE = "wsgw:subscribe"
UNSUBSCRIBE = "wsgw:unsubscribe"
#: Subscriptions of one socket that may wait for NATS at a time; requests are bounded by their session.
MAX_CHANGES = 1000


class ChannelsHandler:
    """One socket: its ``Handler``, and the ``SessionClient`` of its session. Raises as ``Gateway.open_session``."""

    def __init__(self, gateway: Gateway, socket: Socket, principal: Principal, again: Returning | None) -> None:
        """``again`` is what a client says that comes back."""
        self._socket = socket
        self._session = gateway.open_session(principal, self, socket.sender)
        sender = socket.sender
        self._recovery = Recovery(socket, self._session, sender, again) if isinstance(sender, StampingSender) else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slices = gateway.edge.slices
        self._changes: deque[Change] = deque()  # the first is under way, the others wait for their turn
        # events that came in this tick, to be published together
        self._name = ""
        self._payloads: list[bytes] = []
        self._acks: list[Ack | None] = []
        self._ids: list[str | None] = []
        self._max_payload_bytes = 0  # in it, of what needs no look by itself
        # what others that came in it are answered, all together: why they are refused, None where they are not
        self._answers: dict[tuple[Kind, str] | None, list[Ack]] = {}
        self._joining: dict[str, GatewayError | None] = {}  # and why NATS refuses it, once it does
        self._leaving = False  # as soon as all that came of it is settled

    async def begin(self, asked: Sequence[str] | None, start: Start, again: Returning | None) -> None:
        """Subscribe to the names ``asked`` for, by default all there are, from ``start`` on.

        A client that comes back (``again``) is to have what it had, from where it stood. Raises GatewayError when a
        name asked for is refused.
        """
        names = self._session.inbound() if asked is None else asked
        if again is not None:
            start = Start(after=again.after)
            names = [name for name in names if name not in again.left]
        await self.subscribe(names, start)
        if self._recovery is None:
            return
        for name in again.joined if again is not None else ():
            try:
                await self.subscribe((name,), start)
            except GatewayError:
                self._recovery.lose(name)
        await self._recovery.begin(self._session.follow(), None if again is None else again.pid)

    async def subscribe(self, names: Sequence[str], start: Start = NOW) -> None:
        """Take interest in all of ``names``; raises GatewayError when one is refused."""
        self._joining |= dict.fromkeys(names)
        ready: list[asyncio.Future[None]] = []
        try:
            work = one_by_one(names, partial(self._join, ready, start))
            if work(self._slices.until()):
                await self._slices.work_off(work)
            for future in ready:  # no gather: most are done by then, and each would be called back for
                await future
        finally:
            for future in ready:
                future.cancel()
            refusals = list(filter(None, [self._joining.pop(name, None) for name in names]))
        if refusals:
            raise refusals.pop(0)  # not kept here: an error keeps where it was raised

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
        self._socket.handshake.forget()  # what is needed of it for another CONNECT is known
        log.debug("socketio %s: connected, %s", self._socket.sid, ",".join(self._session.names))

    def event(self, name: str, args: list[Argument], ack: Ack | None) -> None:
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
            if name in (SUBSCRIBE, UNSUBSCRIBE):
                self._control(name, name_of(argument), ack)
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
            outlet.check(payload)  # alone, for all that are published together share one outcome
        except GatewayError as error:
            self._answer(ack, error)
            return
        if name != self._name:
            self._publish_kept()
            self._name = name
        if not self._payloads:
            self._max_payload_bytes = outlet.unchecked_bytes
            asyncio.get_running_loop().call_soon(self._publish_kept)
        self._payloads.append(payload)
        self._acks.append(ack)
        self._ids.append(id)

    def disconnected(self, code: int) -> None:
        log.debug("socketio %s: closed with %d", self._socket.sid, code)
        self._publish_kept()
        self._answers.clear()
        for task in self._tasks:
            task.cancel()
        if self._changes:
            self._socket.keep(-sum([change.size_bytes for change in self._changes]))
            self._changes.clear()
        self._end(code)

    # -- Client

    def drain(self) -> None:
        self._publish_kept()
        self._leaving = True
        self._leave_settled()

    def abort(self) -> None:
        self._socket.abort()

    def hold(self) -> None:
        self._socket.hold()

    def release(self) -> None:
        if not self._leaving:
            self._socket.release()

    def refused(self, name: str, error: GatewayError) -> None:
        """A name that is being joined is answered for by ``subscribe``; any other ends the connection."""
        if name in self._joining:
            self._joining[name] = error
        else:
            self._socket.close(error.kind.close_code)

    def placed(self, name: str, place: Place) -> None:
        if self._recovery is not None:
            self._recovery.placed(name, place)
        elif place.coming is Coming.GAP:
            self._socket.emit(GAP, gap([name], place.missed))

    def gap(self, names: list[str]) -> None:
        self._socket.emit(GAP, gap(names, None))

    # -- inside

    def _end(self, code: int) -> None:
        self._session.end(code)
        if self._recovery is not None:
            self._recovery.close()

    def _leave_settled(self) -> None:
        """The gateway stops: nothing more is taken of the client; close when it is told of all that came of it."""
        if self._session.is_waited_for:
            self._socket.hold()
            return
        self._answer_kept()
        self._socket.close(DRAINING.close_code)

    def _publish_kept(self) -> None:
        payloads, self._payloads = self._payloads, []
        acks, self._acks = self._acks, []
        ids, self._ids = self._ids, []
        if payloads:
            self._session.publish(self._name, payloads, partial(self._settled, acks), ids)

    def _stores(self, name: str) -> bool:
        """Whether what is sent to ``name`` goes to a stream."""
        if name in (SUBSCRIBE, UNSUBSCRIBE):
            return False
        outlet = self._session.find(name)
        return not isinstance(outlet, GatewayError) and outlet.channel.durable is not None

    def _answer(self, ack: Ack | None, error: GatewayError | None) -> None:
        """At the end of the tick, for an answer is dear where each is written by itself."""
        if ack is not None:
            if not self._answers:
                asyncio.get_running_loop().call_soon(self._answer_kept)
            self._answers.setdefault(None if error is None else (error.kind, error.message), []).append(ack)

    def _answer_kept(self) -> None:
        answers, self._answers = self._answers, {}
        if answers:
            self._socket.answer_each(
                [(acks, (TRUE if why is None else error_of(GatewayError(*why)),)) for why, acks in answers.items()]
            )

    def _settled(self, acks: list[Ack | None], result: PublishResult) -> None:
        if isinstance(result, list):
            told = zip(acks, result, strict=True)
            self._socket.answer_each([((ack,), answer_of(receipt)) for ack, receipt in told if ack is not None])
        else:
            answer = TRUE if result is None else error_of(result)
            self._socket.answer([ack for ack in acks if ack is not None], answer)
        if self._leaving:
            self._leave_settled()

    def _control(self, name: str, channel: str, ack: Ack | None) -> None:
        leave = name == UNSUBSCRIBE
        if leave and not self._changes:  # nothing to wait behind
            self._leave(channel, ack)
            return
        if len(self._changes) >= MAX_CHANGES:
            raise GatewayError(OVERLOADED, f"{MAX_CHANGES} subscriptions of this client are waiting")
        change = Change(channel, ack, leave)
        self._changes.append(change)
        self._socket.keep(change.size_bytes)
        if len(self._changes) == 1:
            self._start(self._change_all())

    async def _change_all(self) -> None:
        """One after the other, as they came: they may be about the same name."""
        until = self._slices.until()
        while self._changes:
            await self._change(self._changes[0])
            self._socket.keep(-self._changes.popleft().size_bytes)
            if monotonic() >= until:
                await asyncio.sleep(0)
                until = self._slices.until()

    async def _change(self, change: Change) -> None:
        if change.leave:
            self._leave(change.name, change.ack)
            return
        recovery, durable = None if self._session.has(change.name) else self._recovery, False
        try:
            if recovery is not None:
                durable = self._session.is_durable(change.name)
                recovery.check(change.name, durable=durable)
            await self.subscribe((change.name,))
        except GatewayError as refusal:
            self._answer(change.ack, refusal)
        else:
            self._answer(change.ack, None)
            self._answer_kept()  # before what comes for the name
            if recovery is not None:
                recovery.joining(change.name, durable=durable)
            self._session.listen()

    def _join(self, ready: list[asyncio.Future[None]], start: Start, name: str) -> None:
        """Join ``name``; ``ready`` gets what is to be awaited."""
        future = self._session.join(name, start)
        if future is not None:
            ready.append(future)

    def _leave(self, name: str, ack: Ack | None) -> None:
        known = self._session.unsubscribe(name)
        if known and self._recovery is not None:
            self._recovery.left(name)
        self._answer(
            ack, None if known else GatewayError(BAD_REQUEST, f"this client is not subscribed to {shown(name)}")
        )

    def _replied(self, ack: Ack | None, asking: asyncio.Task[Publication]) -> None:
        error = None if asking.cancelled() else asking.exception()
        if isinstance(error, ServiceError):
            if ack is not None:
                ack(error_of(error))  # each has its own words, as replies have
        elif isinstance(error, GatewayError):
            self._answer(ack, error)
        elif error is not None:
            self._failed(error)
        elif ack is not None and not asking.cancelled():
            reply = asking.result()
            ack(reply.payload if reply.text is None else reply.text)
        if self._leaving:
            self._leave_settled()

    def _start(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            self._failed(fault)

    def _failed(self, fault: BaseException) -> None:
        log.error("socketio %s: a fault", self._socket.sid, exc_info=fault)
        self._socket.close(INTERNAL.close_code)

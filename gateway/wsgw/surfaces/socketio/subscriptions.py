"""What one socket is subscribed to: from its CONNECT on, by its own events, and as the configuration changes.

The client of a channel that is no more stays, and is told by the event ``wsgw:unsubscribed``. Where its name leads to
another channel by now it is subscribed to that, and told by ``wsgw:gap`` that something may be missing between the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

import orjson

from wsgw.channels.start import NOW, Start
from wsgw.channels.table import shown
from wsgw.core.question import Denied
from wsgw.core.session import Session
from wsgw.errors import (
    BAD_REQUEST,
    CHANNEL_CHANGED,
    INTERNAL,
    OVERLOADED,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    GatewayError,
)
from wsgw.protocols.socketio.ack import Ack
from wsgw.protocols.socketio.arguments import Json, memory_bytes
from wsgw.protocols.socketio.socket import Socket
from wsgw.shares.slices import Slices, one_by_one
from wsgw.surfaces.socketio.answers import Answers
from wsgw.surfaces.socketio.recovery import GAP, Recovery, gap

log = logging.getLogger("wsgw.socketio")

UNSUBSCRIBED = "wsgw:unsubscribed"
#: Subscriptions that the client of one socket changes and that may wait for NATS at a time.
MAX_CHANGES = 1000
#: What one of them takes in memory, beside the name's characters.
CHANGE_BYTES = 300


class _Change(NamedTuple):
    """Of a socket's subscriptions: to ``name``, or (``leave``) no more; or ``again``, where the client had lost it.

    ``given`` are those that the configuration makes.
    """

    name: str
    ack: Ack | None = None
    leave: bool = False
    again: bool = False
    given: bool = False

    @property
    def size_bytes(self) -> int:
        return CHANGE_BYTES + memory_bytes(self.name)


class Subscriptions:
    """Of one socket and its ``session``, with ``recovery`` where the client asked for that; ``close`` them."""

    __slots__ = (
        "_added",
        "_answers",
        "_changes",
        "_connected",
        "_everything",
        "_joining",
        "_lost",
        "_recovery",
        "_removed",
        "_session",
        "_slices",
        "_socket",
        "_task",
    )

    def __init__(
        self, socket: Socket, session: Session, recovery: Recovery | None, answers: Answers, slices: Slices
    ) -> None:
        self._socket = socket
        self._session = session
        self._recovery = recovery
        self._answers = answers
        self._slices = slices
        self._changes: deque[_Change] = deque()  # the first is under way, the others wait for their turn
        self._task: asyncio.Task[None] | None = None  # while there are some
        self._joining: dict[str, GatewayError | None] = {}  # and why it cannot be, once that is known
        self._everything = False  # the client has asked for nothing in particular
        self._connected = False
        self._lost: dict[str, Start] = {}  # names that are to be subscribed to again, and from where on
        self._removed: list[tuple[str, GatewayError]] = []  # before it was connected
        self._added: list[str] = []

    async def begin(self, asked: Sequence[str] | None, but: Iterable[str], start: Start) -> None:
        """Subscribe to the names ``asked`` for, by default all there are, without those in ``but``, from ``start`` on.

        Raises GatewayError when one is refused.
        """
        self._everything = asked is None
        names = self._session.inbound() if asked is None else asked
        await self.subscribe([name for name in names if name not in but], start)

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
        if self._everything and not self._connected:  # what it may not have it did not ask for
            refusals = [refusal for refusal in refusals if not isinstance(refusal, Denied)]
        if refusals:
            raise refusals.pop(0)  # not kept here: an error keeps where it was raised

    def connected(self) -> None:
        """The CONNECT is answered: what changed meanwhile follows."""
        self._connected = True
        removed, self._removed = self._removed, []
        for name, error in removed:
            if error.kind is CHANNEL_CHANGED:
                self._queue(_Change(name, given=True))
            elif not self._everything:
                self._tell_unsubscribed(name, error)
        added, self._added = self._added, []
        self.added(added)

    def control(self, name: str, ack: Ack | None, *, leave: bool) -> None:
        """The client wants ``name``, or wants it no more; raises GatewayError (overloaded)."""
        if leave and not self._changes:  # nothing to wait behind
            self._leave(name, ack)
            return
        if len(self._changes) >= MAX_CHANGES:
            raise GatewayError(OVERLOADED, f"{MAX_CHANGES} subscriptions of this client are waiting")
        self._queue(_Change(name, ack, leave))

    def refused(self, name: str, error: GatewayError) -> bool:
        """NATS refuses ``name``; whether it is being joined, so that ``subscribe`` raises that."""
        if name not in self._joining:
            return False
        self._joining[name] = error
        return True

    def close(self) -> None:
        """The socket has ended."""
        if self._task is not None:
            self._task.cancel()
        if self._changes:
            self._socket.keep(-sum([change.size_bytes for change in self._changes]))
            self._changes.clear()

    # -- the configuration

    def removed(self, name: str, error: GatewayError) -> None:
        """See ``SessionClient.removed``."""
        changed = error.kind is CHANNEL_CHANGED
        again = Start()
        if self._recovery is not None:
            again = self._recovery.start_again(name)
            if changed:
                self._recovery.left(name)
            else:
                self._recovery.removed(name)
        if not self._connected:
            self._removed.append((name, error))
        elif changed:
            self._lost[name] = again
            self._queue(_Change(name, again=True, given=True))
        elif not self.refused(name, error):  # else the ack says so
            self._tell_unsubscribed(name, error)

    def added(self, names: Sequence[str]) -> None:
        """There are new channels: they are for who asked for nothing in particular."""
        if not self._everything:
            return
        if not self._connected:
            self._added += names
            return
        for name in names:
            if not self._session.has(name):
                self._queue(_Change(name, given=True))

    # -- inside

    def _join(self, ready: list[asyncio.Future[None]], start: Start, name: str) -> None:
        """Join ``name``; ``ready`` gets what is to be awaited."""
        try:
            future = self._session.join(name, start)
        except GatewayError as error:
            gone = error.kind in (UNKNOWN_CHANNEL, WRONG_DIRECTION)  # it was there when this began
            if self._connected or not self._everything or not (gone or isinstance(error, Denied)):
                raise
            return
        if future is not None:
            ready.append(future)

    def _queue(self, change: _Change) -> None:
        self._changes.append(change)
        self._socket.keep(change.size_bytes)
        if len(self._changes) == 1:
            self._task = asyncio.get_running_loop().create_task(self._change_all())
            self._task.add_done_callback(self._done)

    async def _change_all(self) -> None:
        """One after the other, as they came: they may be about the same name."""
        until = self._slices.until()
        while self._changes:
            await self._change(self._changes[0])
            if self._changes:  # else the socket has ended by what it was told
                self._socket.keep(-self._changes.popleft().size_bytes)
            if monotonic() >= until:
                await asyncio.sleep(0)
                until = self._slices.until()

    async def _change(self, change: _Change) -> None:
        name = change.name
        if change.leave:
            self._leave(name, change.ack)
            return
        again = self._lost.pop(name, None) if change.again else None
        if change.again and again is None:  # the client left it meanwhile
            return
        recovery, durable = None if self._session.has(name) else self._recovery, False
        try:
            if recovery is not None:
                durable = self._session.is_durable(name)
                recovery.check(name, durable=durable)
            await self.subscribe((name,), NOW if again is None else again)
        except GatewayError as refusal:
            self._answers.add(change.ack, refusal)
            if again is not None:
                self._tell_unsubscribed(name, refusal)
        else:
            self._answers.add(change.ack, None)
            self._answers.send()  # before what comes for the name
            if recovery is not None:
                recovery.joining(name, durable=durable)
            if change.given:  # else the channel, which begins, would tell of a gap that is told here, or is none
                self._session.misses_nothing(name)
            if again is not None and not (durable and again.after):  # else it is told what is missing, if anything is
                self._socket.emit(GAP, gap([name], None))
            self._session.listen()

    def _leave(self, name: str, ack: Ack | None) -> None:
        was_lost = self._lost.pop(name, None) is not None
        known = self._session.unsubscribe(name) or was_lost
        if known and self._recovery is not None:
            self._recovery.left(name)
        self._answers.add(
            ack, None if known else GatewayError(BAD_REQUEST, f"this client is not subscribed to {shown(name)}")
        )

    def _tell_unsubscribed(self, name: str, error: GatewayError) -> None:
        told = {"channel": name, **error.as_json()}
        self._socket.emit(UNSUBSCRIBED, Json(orjson.dumps(told).decode()))

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            failed(self._socket, fault)


def failed(socket: Socket, fault: BaseException) -> None:
    """What was done for ``socket`` raised ``fault``: that ends it."""
    log.error("socketio %s: a fault", socket.sid, exc_info=fault)
    socket.close(INTERNAL.close_code)

"""A session: one connected client, and the only door between it and channels, NATS, rights and metrics.

Every protocol comes through here: what a client may do, how much of it waits, and what is counted is decided once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from wsgw.access.identity import Identity
from wsgw.access.meter import meter_of
from wsgw.access.principal import Principal
from wsgw.access.rights import NO_RIGHTS
from wsgw.broker.headers import HeaderBlock
from wsgw.broker.puback import PublishOutcome, PublishResult
from wsgw.channels.channel import Use
from wsgw.channels.table import wrong_direction
from wsgw.core.backpressure import BackPressure
from wsgw.core.house import House
from wsgw.core.identityheaders import ids_of, new_session_id
from wsgw.core.outbound import Outlet
from wsgw.core.pace import Pace
from wsgw.core.question import Decision, Question
from wsgw.core.receiving import Receiving
from wsgw.core.sessionclient import SessionClient
from wsgw.core.undecided import Undecided
from wsgw.errors import CLOSE_CODES, FORBIDDEN, OVERLOADED, TOKEN_EXPIRED, GatewayError
from wsgw.fanout.publication import Publication
from wsgw.fanout.sender import Sender
from wsgw.shares.slices import one_by_one

log = logging.getLogger("wsgw.session")

T = TypeVar("T")

#: Of a session that has never asked anything: most do not.
_NO_REQUESTS: set[asyncio.Task[Publication]] = set()


class Session(Receiving):
    """``sender`` writes to the client; without one (a request that comes alone) nothing can be subscribed to.

    Life: made by ``Gateway.open_session``, ``join`` names, ``listen`` and ``open`` when the client can take them,
    ``end`` once. The sender is the transport's to close. Implements ``memory.Holder``, of its subscriptions.
    """

    __slots__ = ("_giver", "_headers", "_outlet", "_pace", "_pressure", "_requests", "_seat", "_undecided")

    def __init__(self, house: House, principal: Principal, client: SessionClient | None, sender: Sender | None) -> None:
        super().__init__(house, principal, client, sender)
        self._outlet: Outlet | None = None  # of the name sent to last; none of a channel with ``authorize``
        self._undecided: Undecided | None = None  # once something is sent to a channel with ``authorize``
        self._headers: HeaderBlock | None = None  # that go with what it sends; made when it does the first time
        self._giver = ""  # of the ids of messages: its user, with authentication, once it sends to a stream
        if client is not None:
            house.sessions.add(self)
            if principal.identity is not None:
                house.expiries.set(self, principal.identity.expires_at)
        self._pressure: BackPressure | None = None
        self._requests: set[asyncio.Task[Publication]] = _NO_REQUESTS  # that wait for replies; its own once it asks
        self._seat = None if client is None else principal.seat  # which it has entered
        edge = house.edge
        meter = meter_of(edge.seats, edge.rates, principal, stays=client is not None)
        self._pace = None if meter is None else Pace(meter, edge, principal, client)  # None: as fast as it likes

    # -- sending

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that is taken of a client now: what NATS takes, or less."""
        return self._house.max_payload_bytes

    @property
    def headers_bytes(self) -> int:
        """What the headers take of that which go with what the client sends; after a ``find``."""
        return 0 if self._headers is None else len(self._headers.block)

    @property
    def unsettled(self) -> int:
        """Messages of the client whose outcome is not known yet."""
        return 0 if self._pressure is None else self._pressure.messages

    @property
    def is_waited_for(self) -> bool:
        """Whether the client is still to be told of something: a message's outcome, a reply."""
        return bool(self.unsettled or self._requests)

    @property
    def is_paced(self) -> bool:
        """Whether there is a limit to how fast the client sends."""
        return self._pace is not None

    def at_a_time(self, most: int) -> int:
        """How many messages of the client, of ``most``, are to be taken at once: it is held back behind them only."""
        return most if self._pace is None else min(most, self._pace.burst)

    def is_in_time(self) -> bool:
        """Whether more may be taken of the client; else it is held until it may. For surfaces that tell of no message.

        What others of its user, or address, sent is to be made up for, too: else many connections, or one that comes
        anew again and again, had no rates.
        """
        if self._pace is None or self._client is None:
            return True
        wait = self._pace.wait()
        if wait:
            self._pace.hold(wait, self._pressure_of(self._client))
        return not wait

    def refuse(self, name: str | None, size: int) -> GatewayError | None:
        """Why one more message of ``size`` bytes to ``name`` may not be sent now; None where it may, and is.

        For surfaces that tell of each message. What is refused counts; who goes on with it is closed. Without a name
        it is for the gateway itself.
        """
        error = None if self._pace is None else self._pace.refuse(1, size)
        if error is None:
            return None
        if name is None:
            return self._house.outlets.failed(error)
        outlet = self.find(name)
        return outlet if isinstance(outlet, GatewayError) else outlet.failed(error)

    def why_not_publish(self, name: str) -> GatewayError | None:
        """Why messages to ``name`` would be refused, whatever they are; None where they would not. Counts nothing.

        None, too, where a service is to be asked about it first: see ``ask_to_publish``.
        """
        try:
            question = self._to_publish(name)
        except GatewayError as error:
            return error
        decision = None if question is None else self._house.permits.known(question)
        if question is None or decision is None or decision.refusal is None:
            return None
        return decision.error(question)

    def ask_to_publish(self, name: str) -> asyncio.Future[Decision] | None:
        """What is to be awaited, if anything, so that ``why_not_publish`` knows."""
        try:
            question = self._to_publish(name)
        except GatewayError:
            return None
        permits = self._house.permits
        return None if question is None or permits.known(question) is not None else permits.ask(question)

    def find(self, name: str, use: Use = Use.PUBLISH, count: int = 1) -> Outlet | GatewayError:
        """Where ``name`` leads to for who wants to ``use`` it, or an error, which is counted ``count`` times.

        It may be for the other of PUBLISH and REQUEST.
        """
        if self._outlet is not None and self._outlet.name == name:
            return self._outlet
        undecided = self._undecided
        if undecided is not None and undecided.outlet is not None and undecided.outlet.name == name:
            return undecided.outlet
        outlet = self._house.outlets.find(name, self.principal.transport, use, count)
        if isinstance(outlet, GatewayError):
            return outlet
        try:
            key = self._key(outlet.use, outlet.channel, name)
            if self._headers is None and self._house.identity_headers is not None:
                self._headers = self._house.identity_headers.of(self.principal.user, new_session_id())
            if not self._giver and outlet.channel.durable is not None and self.principal.identity is not None:
                self._giver = ids_of(self.principal.user)
        except GatewayError as error:
            return outlet.failed(error.with_traceback(None), count)  # its frames have this object
        if key is not name:
            outlet = self._house.outlets.filled(outlet, key, self.principal.transport)
        if outlet.channel.authorize is not None:
            if undecided is None:
                undecided = self._undecided = Undecided(self._house.permits, self._house.broker, self._as_asker())
            undecided.outlet = outlet
        elif undecided is None or not undecided.waits:
            self._outlet = outlet
        return outlet

    def publish(
        self,
        name: str,
        payloads: Sequence[bytes],
        outcome: PublishOutcome,
        ids: Sequence[str | None] = (),
        *,
        paid: bool = False,
    ) -> None:
        """Publish ``payloads`` to ``name``, in order of calls; ``outcome`` is told once for all of them.

        It is told at once when they are refused here; otherwise see ``Outlet.publish``, for ``ids`` too. A client that
        has too much on its way is held; so is one that sends too fast, unless ``refuse`` was asked for each (``paid``).
        """
        outlet, undecided = self._outlet, None
        if outlet is None or outlet.name != name or outlet.use is not Use.PUBLISH:
            found = self.find(name, Use.PUBLISH, len(payloads))
            refusal = found if isinstance(found, GatewayError) else found.not_for(Use.PUBLISH, len(payloads))
            if refusal is not None or isinstance(found, GatewayError):
                outcome(refusal)
                return
            outlet, undecided = found, self._undecided_of(found)
        client = self._client
        if client is None:
            too_fast = self._too_fast(outlet, payloads)
            if too_fast is not None:
                outcome(too_fast)
            elif undecided is None:
                outlet.publish(payloads, outcome, ids, self._headers, heldable=False, giver=self._giver)
            else:
                undecided.publish(outlet, payloads, outcome, ids, self._headers, heldable=False, giver=self._giver)
            return
        pressure = self._pressure_of(client)
        count, size = len(payloads), sum([len(payload) for payload in payloads])
        pressure.sent(count, size)

        def settled(result: PublishResult) -> None:
            pressure.settled(count, size)
            outcome(result)

        if undecided is None:
            outlet.publish(payloads, settled, ids, self._headers, giver=self._giver)
        else:
            undecided.pressure = pressure
            undecided.publish(outlet, payloads, settled, ids, self._headers, giver=self._giver)
        pressure.check()
        if self._pace is not None and not paid:
            self._pace.sent(count, size, pressure)

    def request(self, name: str, payload: bytes) -> asyncio.Task[Publication]:
        """What waits for the reply to a request, and raises GatewayError; to be cancelled where nobody waits for it.

        Raises GatewayError at once: where nothing can be asked, or too much of this client's is (overloaded). That
        it does not ask too fast is the surface's to see to (``refuse``), but where it comes alone.
        """
        outlet = self.find(name, Use.REQUEST)
        refusal = outlet if isinstance(outlet, GatewayError) else outlet.not_for(Use.REQUEST)
        if isinstance(outlet, GatewayError) or refusal is not None:
            assert refusal is not None
            raise GatewayError(refusal.kind, refusal.message)  # one that this frame has would keep it, and itself
        too_fast = self._too_fast(outlet, (payload,)) if self._client is None else None
        if too_fast is not None:
            raise too_fast
        most = self._house.edge.limits.session_requests
        if len(self._requests) >= most:
            raise outlet.failed(GatewayError(OVERLOADED, f"{most} requests of this client wait for replies"))
        if self._requests is _NO_REQUESTS:
            self._requests = set()
        undecided = self._undecided_of(outlet)
        if undecided is None:
            sending = outlet.request(payload, self._headers)
        else:
            sending = undecided.request(outlet, payload, self._headers)
        asking = asyncio.get_running_loop().create_task(sending)
        self._requests.add(asking)
        asking.add_done_callback(self._requests.discard)
        return asking

    def reply_headers(self, name: str) -> tuple[str, ...]:
        """Which headers of replies to what is asked on ``name`` the client may see."""
        outlet = self.find(name, Use.REQUEST)
        return () if isinstance(outlet, GatewayError) else outlet.channel.headers

    @property
    def draining(self) -> bool:
        """Whether the gateway is stopping."""
        return self._house.drain.begun

    def unless_stopped(self, answer: asyncio.Future[T]) -> Awaitable[T]:
        """The result of ``answer``; raises GatewayError (unconfirmed) when the gateway stops before."""
        return self._house.drain.unless_over(answer)

    def look_up_again(self) -> None:
        """See ``Reconfigured``."""
        self._outlet = None
        if self._undecided is not None:
            self._undecided.outlet = None

    def _to_publish(self, name: str) -> Question | None:
        """What is asked before messages are sent to ``name``, if anything; raises GatewayError."""
        channel, _ = self._house.channels.find_to_send(name, Use.PUBLISH)
        if not channel.accepts:
            raise wrong_direction(name, channel, Use.PUBLISH)
        self._key(Use.PUBLISH, channel, name)
        if channel.authorize is None:
            return None
        return self._as_asker().question(channel.authorize, Use.PUBLISH, name)

    def _too_fast(self, outlet: Outlet, payloads: Sequence[bytes]) -> GatewayError | None:
        """Why a client that comes alone, and paid for that, may not send so many bytes; counted."""
        if self._pace is None:
            return None
        error = self._pace.refuse(0, sum([len(payload) for payload in payloads]))
        return None if error is None else outlet.failed(error)

    def _pressure_of(self, client: SessionClient) -> BackPressure:
        if self._pressure is None:
            self._pressure = BackPressure(self._house.broker, client.hold, client.release)
        return self._pressure

    def _undecided_of(self, outlet: Outlet) -> Undecided | None:
        """What has to be passed before something is sent by ``outlet``."""
        undecided = self._undecided
        if undecided is None or not (undecided.waits or outlet.channel.authorize is not None):
            return None
        self._outlet = None  # which leads past it
        return undecided

    # -- life

    def open(self) -> None:
        """Count the client as connected; what its handshake said is not needed any more."""
        if self._ended:
            return
        assert self._client is not None
        self.principal.settle()
        self._house.drain.add(self._client)
        self._house.connected[self.principal.transport] += 1
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: connected, receives %s", self.principal, ", ".join(self.names) or "nothing")

    def reject(self, error: GatewayError) -> None:
        """Count the client as one that was refused."""
        self._house.metrics.rejected.labels(error.kind.name).inc()

    def expire(self) -> None:
        """What the client proved to be has ended: nothing more is brought to it, and nothing taken of it.

        What came of it before is settled, which it is told of, before its connection ends.
        """
        self._leave_all()
        if self._client is not None:
            self._client.expired(GatewayError(TOKEN_EXPIRED, TOKEN_EXPIRED.summary))
        if self.principal.identity is not None:  # a subscription of its may be on its way
            self.principal.identity = replace(self.principal.identity, rights=NO_RIGHTS)
        self.look_up_again()

    async def refresh(self, identity: Identity) -> None:
        """The client proved anew who it is, and has other rights maybe: what they do not cover ends, and is told.

        Raises GatewayError: forbidden where it is another user, for a connection belongs to the one that opened it;
        token_expired where it comes too late.
        """
        known = self.principal.identity
        if known is None or known.user is None or known.user != identity.user:
            raise not_the_same_user()
        self._house.expiries.check(known.expires_at)
        before = set(self.inbound())
        self.principal.identity = identity
        if self._client is not None:
            self._house.expiries.set(self, identity.expires_at)
        self.look_up_again()
        await self._house.edge.slices.work_off(one_by_one(list(self._subscriptions.values()), self._check_again))
        if self._joining is not None:
            await self._house.edge.slices.work_off(one_by_one(self._joining.names(), self._joining.ask_anew))
        if self._client is not None:
            self._client.reconfigured([name for name in self.inbound() if name not in before])

    def end(self, code: int) -> None:
        """The client is gone, by close code ``code``; harmless when called again. It does not come back.

        What it still asks is not waited for, and nothing of it is kept here.
        """
        self._ended = True
        self._house.sessions.discard(self)
        self._house.expiries.discard(self)
        self._leave_all()
        for asking in list(self._requests):
            asking.cancel()
        if self._pressure is not None:
            self._pressure.close()
        if self._pace is not None:
            self._pace.close()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()
        client, self._client = self._client, None
        if client is not None and self._house.drain.discard(client):
            self._house.connected[self.principal.transport] -= 1
            self._house.metrics.closes.labels(str(code) if code in CLOSE_CODES else "other").inc()
            log.debug("%s: closed with %d", self.principal, code)
        if self.sender is not None:
            self.sender.session = None


def not_the_same_user() -> GatewayError:
    """Why a token is not taken on a connection."""
    return GatewayError(FORBIDDEN, "the token is not one of the user who opened the connection")

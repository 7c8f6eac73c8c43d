"""What one client sends while it is not known whether it may: all of it waits, in order, and nothing overtakes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from wsgw.broker.broker import Broker
from wsgw.broker.headers import HeaderBlock
from wsgw.broker.puback import PublishOutcome
from wsgw.core.backpressure import BackPressure
from wsgw.core.outbound import Outlet
from wsgw.core.permits import Permits
from wsgw.core.question import Asker, Decision, Question
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication

#: Told why it may not be sent; None where it may.
Decided = Callable[[GatewayError | None], None]


class _Waiting:
    """Something to send by ``outlet``, with the ``count`` and size of messages that wait for NATS."""

    __slots__ = ("count", "decided", "outlet", "reply", "size")

    def __init__(
        self, outlet: Outlet, decided: Decided, count: int, size: int, reply: asyncio.Future[GatewayError | None] | None
    ) -> None:
        self.outlet = outlet
        self.decided = decided
        self.count = count
        self.size = size
        self.reply = reply  # of a request, which may be given up


class Undecided:
    """Of one session that sends to channels with ``authorize``; ``pressure`` holds its client, where it has one.

    It asks one question at a time. What waits when the session ends goes on as if it had not: it was taken.
    """

    __slots__ = ("_answer", "_asker", "_broker", "_deciding", "_permits", "_queue", "outlet", "pressure")

    def __init__(self, permits: Permits, broker: Broker, asker: Asker) -> None:
        self._permits = permits
        self._broker = broker
        self._asker = asker
        self._queue: deque[_Waiting] = deque()
        self._answer: asyncio.Future[Decision] | None = None  # to the question about the first one
        self._deciding = False
        #: of the name sent to last, where that is one of such a channel
        self.outlet: Outlet | None = None
        self.pressure: BackPressure | None = None

    @property
    def waits(self) -> bool:
        """Whether something does: then all else has to."""
        return bool(self._queue)

    def publish(
        self,
        outlet: Outlet,
        payloads: Sequence[bytes],
        outcome: PublishOutcome,
        ids: Sequence[str | None] = (),
        headers: HeaderBlock | None = None,
        *,
        heldable: bool = True,
        giver: str = "",
    ) -> None:
        """As ``Outlet.publish``, when it is known that it may be, and all that waits has been sent; else forbidden."""

        def decided(error: GatewayError | None) -> None:
            if error is None:
                outlet.publish(payloads, outcome, ids, headers, heldable=heldable, giver=giver)
            else:
                outcome(outlet.failed(error, len(payloads)))

        if not self._queue:
            question, decision = self._known(outlet)
            if question is None or decision is not None:
                decided(_why_not(question, decision))
                return
        full = self._broker.why_full(heldable=heldable)
        if full is not None:
            outcome(outlet.failed(full, len(payloads)))
            return
        size = sum([len(payload) for payload in payloads])
        self._wait(_Waiting(outlet, decided, len(payloads), size, None))

    async def request(self, outlet: Outlet, payload: bytes, headers: HeaderBlock | None = None) -> Publication:
        """As ``Outlet.request``, when it is known that it may be; else raises GatewayError, which is counted."""
        reply: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
        self._wait(_Waiting(outlet, partial(_told, reply), 0, 0, reply))
        refusal = await reply
        try:
            if refusal is not None:
                raise outlet.failed(refusal)
        finally:
            del refusal, reply  # an error has this frame
        return await outlet.request(payload, headers)

    # -- inside

    def _known(self, outlet: Outlet) -> tuple[Question | None, Decision | None]:
        """What is asked before something is sent by ``outlet``, if anything, and the answer where there is one."""
        authorize = outlet.channel.authorize
        if authorize is None:
            return None, None
        question = self._asker.question(authorize, outlet.use, outlet.name)
        return question, self._permits.known(question)

    def _wait(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._broker.keep(waiting.count, waiting.size)
        if len(self._queue) == 1 and self.pressure is not None:
            self.pressure.wait()
        self._go_on()

    def _go_on(self) -> None:
        """Decide what can be, in order, and ask about what is first then."""
        if self._deciding or self._answer is not None:
            return
        self._deciding = True
        try:
            while self._queue:
                first = self._queue[0]
                if first.reply is not None and first.reply.done():
                    self._take_first()
                    continue
                question, decision = self._known(first.outlet)
                if question is not None and decision is None:
                    self._answer = self._permits.ask(question)
                    self._answer.add_done_callback(partial(self._answered, question))
                    return
                self._take_first().decided(_why_not(question, decision))
        finally:
            self._deciding = False
        if self.pressure is not None:
            self.pressure.go_on()

    def _answered(self, question: Question, answer: asyncio.Future[Decision]) -> None:
        self._answer = None
        if not answer.cancelled():
            self._deciding = True
            try:
                self._take_first().decided(_why_not(question, answer.result()))
            finally:
                self._deciding = False
        self._go_on()

    def _take_first(self) -> _Waiting:
        first = self._queue.popleft()
        self._broker.keep(-first.count, -first.size)
        return first


def _why_not(question: Question | None, decision: Decision | None) -> GatewayError | None:
    if question is None or decision is None or decision.refusal is None:
        return None
    return decision.error(question)


def _told(reply: asyncio.Future[GatewayError | None], error: GatewayError | None) -> None:
    if not reply.done():
        reply.set_result(error)

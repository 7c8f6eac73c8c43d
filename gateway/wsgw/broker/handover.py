"""From one connection to another while both are there: a server that says that it goes is left before it does.

1. What comes by the old connection is remembered for a while; then each subscription is made on the new one, too,
   confirmed by its fences. From then on both bring everything, and ``Twins`` tells second copies apart.
2. In one step the new connection becomes the one that is used. What was published by the old one is confirmed by its
   fences. The new one writes nothing before it has heard a mark that the old one published last: so who publishes keeps
   its order, as far as the servers of a cluster keep it among one another.
3. After a while the new one alone delivers, and the old one is closed when what was asked on it is answered.

Subscriptions below the gateway's own inboxes are not made twice: they are for answers, each to one question, and the
questions are asked again where an answer does not come.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from wsgw.broker.connection import NatsConnection
from wsgw.broker.requests import new_inbox
from wsgw.broker.subscription import NatsSubscription
from wsgw.broker.twins import Twins
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication

#: How much later than the other one a server may have the same.
WINDOW_SECONDS = 0.5
#: How much later it usually has it, beside what it takes from one to the other and back.
USUAL_SECONDS = 0.05
#: How long both bring everything, once all is confirmed.
OVERLAP_SECONDS = 1.5
#: How long the mark is waited for, and then the new connection's fence.
FENCE_SECONDS = 1.0
#: What was asked on the old connection is answered within so long, or lost with it.
LINGER_SECONDS = 5.0
LOOK_SECONDS = 0.05
#: Subscriptions that are made, or ended, at a time.
BATCH = 500


class Handover:
    """From ``old`` to ``new``; subscriptions to subjects below ``inbox_prefix`` stay where they are.

    ``prepare``, then ``switch``, then ``finish``.
    """

    def __init__(self, old: NatsConnection, new: NatsConnection, inbox_prefix: str) -> None:
        self.old = old
        self.new = new
        self._loop = asyncio.get_running_loop()
        self._inboxes = f"{inbox_prefix}."
        self._twins = Twins(self._loop.time)
        self._copies: dict[NatsSubscription, NatsSubscription] = {}  # on the new connection, until ``switch``
        self._numbers: dict[NatsSubscription, int] = {}  # on the old one, since then
        self._marked: asyncio.Future[float] = self._loop.create_future()  # when the mark came
        self._confirmed_at = math.inf  # when it was known that the old server has it
        self._mark = NatsSubscription(new_inbox(inbox_prefix), self._mark_came)
        self._watched: dict[NatsSubscription, None] = {}  # what comes for them does not go to ``deliver`` itself

    async def prepare(self) -> bool:
        """Have everything on both connections; whether that could be: False where one of them is lost."""
        self._watch(self._missing())
        await self.new.subscribe_all([self._mark])  # in time for the old server to hear of it
        await asyncio.wait({self.old.lost}, timeout=WINDOW_SECONDS)
        missing = self._missing()
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            self._watch(batch)
            await self.new.subscribe_all([self._copy(subscription) for subscription in batch])
            if self._is_over or self._twins.full:
                break
        if not self._is_over and not self._twins.full:
            return True
        copies, self._copies = self._copies, {}
        for copy in (*copies.values(), self._mark):
            self.new.unsubscribe(copy)
        self._redirect(self.old)
        return False

    def switch(self) -> None:
        """From now on the new connection is the one that subscriptions, and what waits for its loss, belong to.

        Both must be there, and the caller uses the new one from this step on.
        """
        late = self._missing()  # who came while the others were confirmed; the old one brings it until that is, too
        self._watch(late)
        for subscription in late:
            self.new.listen(self._copy(subscription))
        copies, self._copies = self._copies, {}
        for subscription, copy in copies.items():
            number = self.old.hand_over(subscription)
            if number is None:  # it has ended meanwhile
                self.new.unsubscribe(copy)
            elif copy.ended.done():
                self.old.unlisten(number)
                subscription.end(copy.ended.result())
            else:
                self.new.take_over(subscription, copy)
                self._numbers[subscription] = number
        self.new.lost, self.old.lost = self.old.lost, self.new.lost
        self.new.cork()

    def unsubscribe(self, subscription: NatsSubscription) -> None:
        """``subscription`` ends, wherever it is: what is kept for it is for nobody."""
        self._watched.pop(subscription, None)
        copy = self._copies.pop(subscription, None)
        if copy is not None:
            self.new.unsubscribe(copy)
        number = self._numbers.pop(subscription, None)
        if number is not None:
            self.old.unlisten(number)
        else:
            self.old.unsubscribe(subscription)

    async def finish(self) -> None:
        """Leave the old connection, and close it."""
        try:
            self.old.publish(self._mark.subject, [b""], self._mark_confirmed)
            either: set[asyncio.Future[Any]] = {self._marked, self.old.lost}
            await asyncio.wait(either, timeout=FENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            self.new.unsubscribe(self._mark)
            self.new.uncork()
            await self._fence(FENCE_SECONDS)
            await self._overlap()
            self._twins.cut()
            while self._numbers:
                for _ in range(min(BATCH, len(self._numbers))):
                    _, number = self._numbers.popitem()
                    self.old.unlisten(number)
                await asyncio.sleep(0)
            await asyncio.sleep(WINDOW_SECONDS)
            await self._fence(LINGER_SECONDS)  # then second copies of what came before have been read
            until = self._loop.time() + LINGER_SECONDS
            while self.old.is_waited_for and self._loop.time() < until:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.new.unsubscribe(self._mark)
            self.new.uncork()
            self._twins.cut()
            await self.old.close("another server has taken over")
            self._redirect(self.new)

    # -- inside

    @property
    def _is_over(self) -> bool:
        return self.old.lost.done() or self.new.lost.done()

    def _mark_came(self, _: Publication) -> None:
        if not self._marked.done():
            self._marked.set_result(self._loop.time())

    def _mark_confirmed(self, error: GatewayError | None) -> None:
        if error is None:
            self._confirmed_at = self._loop.time()

    def _lag_seconds(self) -> float:
        """What it takes from the old server to the new one; the longest that is waited for where that is not known."""
        if not self._marked.done() or self._confirmed_at == math.inf:
            return WINDOW_SECONDS
        return max(0.0, self._marked.result() - self._confirmed_at)

    async def _overlap(self) -> None:
        """Returns when both have brought everything for long enough, or it has to end.

        What the old one brought alone, before the new one had everything, is forgotten: a fence of the new one that was
        sent later than its copy can have been there proves that there is none. What is read late hurts nothing so.
        """
        began = self._loop.time()
        while not self._is_over and not self._twins.full and (took := self._loop.time() - began) < OVERLAP_SECONDS:
            late = WINDOW_SECONDS if took < OVERLAP_SECONDS / 2 else USUAL_SECONDS + 2 * self._lag_seconds()
            before = self._loop.time() - late
            if await self._fence(FENCE_SECONDS):
                self._twins.forget(before)
            await asyncio.wait({self.old.lost}, timeout=LOOK_SECONDS)

    async def _fence(self, timeout_seconds: float) -> bool:
        """Whether a fence of the new connection comes back in time: all that was there before it has been read."""
        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.new.barrier()
                return True
        return False

    def _missing(self) -> list[NatsSubscription]:
        """Those of the old connection that are not on the new one yet, and are to be."""
        return [
            subscription
            for subscription in self.old.subscriptions
            if subscription not in self._copies
            and not subscription.ended.done()
            and not subscription.subject.startswith(self._inboxes)
        ]

    def _copy(self, subscription: NatsSubscription) -> NatsSubscription:
        """What is to be made on the new connection for ``subscription``, of which it has the fate."""
        deliver, own, hidden = subscription.deliver, id(subscription), self._hidden(subscription, self.old)

        def deliver_kept(publication: Publication) -> None:
            if subscription in self._watched:
                deliver(publication)

        def new_came(publication: Publication) -> None:
            if not hidden or not publication.subject.startswith(hidden):
                key = hash((own, publication.subject, publication.payload))
                if self._twins.new_came(key, deliver_kept, publication):
                    deliver(publication)

        copy = self._copies[subscription] = NatsSubscription(subscription.subject, new_came)
        copy.ended.add_done_callback(lambda ended: self._refused(subscription, ended.result()))
        return copy

    def _watch(self, subscriptions: Iterable[NatsSubscription]) -> None:
        """What comes for them by the old connection is remembered from now on."""
        for subscription in subscriptions:
            if subscription not in self._watched:
                self._watched[subscription] = None
                self.old.redirect(subscription, self._old_came(subscription))

    def _old_came(self, subscription: NatsSubscription) -> Callable[[Publication], None]:
        deliver, own, hidden = subscription.deliver, id(subscription), self._hidden(subscription, self.new)

        def old_came(publication: Publication) -> None:
            if not hidden or not publication.subject.startswith(hidden):
                key = hash((own, publication.subject, publication.payload))
                if self._twins.old_came(key):
                    deliver(publication)

        return old_came

    def _hidden(self, subscription: NatsSubscription, other: NatsConnection) -> str:
        """From a pattern that covers inboxes: each connection hides its own fences, and not those of the other."""
        return other.fences_prefix if subscription.subject.startswith(("*", ">")) else ""

    def _refused(self, subscription: NatsSubscription, error: GatewayError) -> None:
        if subscription in self._numbers:  # it stands for the copy by now
            subscription.end(error)

    def _redirect(self, connection: NatsConnection) -> None:
        """What comes by ``connection``, the one that stays, is delivered as ever."""
        for subscription in self._watched:
            connection.redirect(subscription, subscription.deliver)
        self._watched.clear()

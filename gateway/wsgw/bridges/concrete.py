"""The subscriptions of the concrete names of one pattern channel: they follow the table of names.

Many names may come or go at a time. They are taken in batches, each one write and one fence, so that names share what
that costs and the loop serves others in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from wsgw.bridges.interests import Interest, Interests
from wsgw.broker.broker import Broker
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

log = logging.getLogger("wsgw.bridge")

#: Names in a batch: enough to share the cost, few enough to take a few milliseconds.
BATCH_NAMES = 500


class ConcreteSubscriptions:
    """Those of the names in ``interests``. ``deliver`` gets a name and what came for it; ``ended`` is called when NATS
    has ended one, whose sessions have been told by then.
    """

    def __init__(
        self,
        channel: Channel,
        broker: Broker,
        interests: Interests,
        deliver: Callable[[str, Publication], None],
        ended: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._broker = broker
        self._interests = interests
        self._deliver = deliver
        self._tell_ended = ended

    async def subscribe_missing(self) -> None:
        """Returns when every name that was there has a subscription or a refusal, which its sessions are told.

        Raises GatewayError (nats_unavailable) when the connection is lost.
        """
        await self.drop_orphans()  # a name that comes back must not have two subscriptions
        missing = self._interests.missing()
        for start in range(0, len(missing), BATCH_NAMES):
            batch = [
                (name, interest)
                for name, interest in missing[start : start + BATCH_NAMES]
                if self._interests.get(name) is interest  # it may have made room for another meanwhile
            ]
            wanted = [(self._channel.subject_of(name), partial(self._deliver, name)) for name, _ in batch]
            for (name, interest), subscription in zip(batch, await self._broker.subscribe_all(wanted), strict=True):
                self._answered(name, interest, subscription)

    async def drop_idle(self, before: float) -> None:
        """Forget the names that are idle since ``before`` or longer, and end their subscriptions."""
        while self._interests.drop_idle(before, BATCH_NAMES):
            await self.drop_orphans()
            await asyncio.sleep(0)
        await self.drop_orphans()

    async def drop_orphans(self) -> None:
        """End the subscriptions that no name wants any more."""
        orphans = self._interests.orphans
        while orphans:
            for _ in range(min(BATCH_NAMES, len(orphans))):
                self._broker.unsubscribe(orphans.pop())
            if orphans:
                await asyncio.sleep(0)

    # -- inside

    def _answered(self, name: str, interest: Interest, subscription: NatsSubscription) -> None:
        if subscription.ended.done():
            error = subscription.ended.result()
            if error.kind is NATS_UNAVAILABLE:
                raise error
            self._refuse(name, interest, error)
        elif self._interests.attach(name, interest, subscription):  # else it made room while NATS was asked
            subscription.ended.add_done_callback(partial(self._ended, name, interest))  # without a circle
            interest.settle()

    def _refuse(self, name: str, interest: Interest, error: GatewayError) -> None:
        self._interests.remove(name, interest)
        sessions, interest.sessions = interest.sessions, {}
        for refused in sessions:
            try:
                refused(error)
            except Exception:  # one session's fault is not another's, nor another name's
                log.exception("telling a session that NATS refuses %r failed", name)
        interest.settle()

    def _ended(self, name: str, interest: Interest, ended: asyncio.Future[GatewayError]) -> None:
        error = ended.result()
        subscription = interest.subscription
        if error.kind is not NATS_UNAVAILABLE and subscription is not None and subscription.ended is ended:
            self._refuse(name, interest, error)
        self._tell_ended()

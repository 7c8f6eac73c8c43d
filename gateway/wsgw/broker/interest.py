"""The listening half of a connection to NATS: what it subscribes to, and how that goes on at another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import nats.errors

from wsgw.broker.client import DirectClient
from wsgw.broker.delivery import receiver
from wsgw.broker.parser import Deliver
from wsgw.broker.subscription import NatsSubscription, Subscriptions
from wsgw.broker.writing import Writing
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication


class Interest(Writing):
    """``client`` and ``inbox`` are ``Writing``'s. The subclass ends subscriptions that NATS refuses, or a loss does."""

    def __init__(self, client: DirectClient, inbox: str) -> None:
        super().__init__(client, inbox)
        self._subscriptions = Subscriptions()

    async def subscribe(self, subscription: NatsSubscription) -> None:
        """Returns when the subscription is in effect; raises GatewayError (forbidden, nats_unavailable)."""
        await self.subscribe_all([subscription])
        if subscription.ended.done():
            raise subscription.ended.result()

    async def subscribe_all(self, subscriptions: Sequence[NatsSubscription]) -> None:
        """Returns when all that have not ``ended`` are in effect, proven by one fence."""
        try:
            self._ask_for(subscriptions)
        except nats.errors.Error as error:
            for subscription in subscriptions:
                subscription.end(GatewayError(NATS_UNAVAILABLE, f"NATS: {error}"))
            return
        left: Sequence[NatsSubscription] = subscriptions
        try:
            await self.barrier()
        except GatewayError as error:  # of a connection that they may have been handed over from meanwhile
            for subscription in subscriptions:
                subscription.end(GatewayError(NATS_UNAVAILABLE, error.message))
        else:
            left = [subscription for subscription in subscriptions if subscription.ended.done()]
        finally:  # also when cancelled: the caller knows of none
            for subscription in left:
                self.unsubscribe(subscription)

    def listen(self, subscription: NatsSubscription) -> None:
        """Subscribe before what is published from now on; ``ended`` tells where NATS refuses it."""
        self._ask_for([subscription])

    def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End the interest at the end of this tick; nothing is delivered any more. Harmless when it is no more.

        Interest of this tick ends in the next one: nothing makes room in the midst of a batch (``Fences.overflowed``).
        """
        if self._subscriptions.discard(subscription):
            early = subscription.number <= self._newer_than
            self._client.unlisten(subscription.number, self._end_before if early else self._end_later)

    # -- for a handover

    @property
    def subscriptions(self) -> list[NatsSubscription]:
        """Those there are."""
        return list(self._subscriptions)

    @property
    def fences_prefix(self) -> str:
        """What the subjects of its fences begin with."""
        return f"{self._inbox}."

    def redirect(self, subscription: NatsSubscription, deliver: Callable[[Publication], None]) -> None:
        """What comes for ``subscription`` goes to ``deliver`` from now on. Harmless when it is none of these."""
        if subscription in self._subscriptions:  # else its number may be another's
            self._client.redirect(subscription.number, self._receiver(subscription.subject, deliver))

    def hand_over(self, subscription: NatsSubscription) -> int | None:
        """``subscription`` goes on elsewhere; None when it is none of this connection.

        What it brings here still comes, until ``unlisten`` of the number that is returned.
        """
        return subscription.number if self._subscriptions.discard(subscription) else None

    def take_over(self, subscription: NatsSubscription, copy: NatsSubscription) -> None:
        """``subscription`` stands for ``copy``, one of this connection, from now on."""
        self._subscriptions.discard(copy)
        subscription.number = copy.number
        self._subscriptions.add(subscription)

    def unlisten(self, number: int) -> None:
        """End what ``hand_over`` left."""
        self._client.unlisten(number, self._end_before)

    # -- inside

    def _receiver(self, subject: str, deliver: Callable[[Publication], None]) -> Deliver:
        # a pattern that covers _INBOX would bring the gateway's own fences to clients
        return receiver(deliver, self.fences_prefix.encode() if subject.startswith(("*", ">")) else None)

    def _ask_for(self, subscriptions: Sequence[NatsSubscription]) -> None:
        """Have them subscribed to at the end of this tick; raises nats.errors.Error."""
        wanted = [(each.subject, self._receiver(each.subject, each.deliver)) for each in subscriptions]
        for subscription, number in zip(subscriptions, self._client.listen_all(wanted, self._add), strict=True):
            subscription.number = number
            self._subscriptions.add(subscription)
        self._fences.subscribed(subscriptions)

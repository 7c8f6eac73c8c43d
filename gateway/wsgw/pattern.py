"""The task that owns the NATS side of one pattern channel (``chat.*``): interest follows the clients.

A concrete subject is subscribed to from its first session until ``LINGER_SECONDS`` after its last. While any session
wants the pattern itself there is one subscription to the pattern, and concrete names are served from it. At each
change both are in effect for ``GRACE_SECONDS``, and ``Overlap`` drops the second copies.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import Any

from wsgw.bridge import Bridge, BridgeState, Refusal
from wsgw.broker.broker import Broker
from wsgw.broker.subscription import Subscription
from wsgw.channels import Channel
from wsgw.errors import NATS_UNAVAILABLE, TOO_MANY_SUBJECTS, GatewayError
from wsgw.hub import Hub
from wsgw.overlap import Overlap, Source
from wsgw.publication import Publication

log = logging.getLogger("wsgw.bridge")

LINGER_SECONDS = 5.0
GRACE_SECONDS = 1.0
WINDOW_SECONDS = 0.5
RETRY_SECONDS = (1.0, 30.0)


class _Interest:
    """One name that sessions joined, or left less than LINGER_SECONDS ago."""

    __slots__ = ("idle_since", "ready", "sessions", "subscribed_at", "subscription")

    def __init__(self, ready: asyncio.Future[None]) -> None:
        self.ready = ready
        self.sessions: list[Refusal] = []
        self.idle_since: float | None = None
        self.subscription: Subscription | None = None
        self.subscribed_at = 0.0

    def settle(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)


class PatternBridge(Bridge):
    """See the module. ``max_subjects`` bounds the concrete subjects in use at a time."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub, max_subjects: int) -> None:
        super().__init__(channel, broker, hub)
        self._max_subjects = max_subjects
        self._interests: dict[str, _Interest] = {}
        self._orphans: list[Subscription] = []
        self._pattern: Subscription | None = None
        self._retry_at = 0.0
        self._retry_delay = RETRY_SECONDS[0]
        #: what concrete names are served from: this, or both while a change goes on
        self._source = Source.CONCRETE
        self._overlap: Overlap | None = None
        self._changed = asyncio.Event()

    def join(self, name: str, refused: Refusal) -> asyncio.Future[None]:
        """A session subscribes to ``name``; done when NATS' interest is in effect, or cannot be now (NATS is away).

        Raises GatewayError (too_many_subjects) at once. ``refused`` is called, before the future is done or later,
        when NATS refuses the subject.
        """
        interest = self._interests.get(name)
        if interest is None:
            if name != self.channel.name:
                self._make_room()
            interest = self._interests[name] = _Interest(asyncio.get_running_loop().create_future())
            if self._source is Source.PATTERN or not self._broker.connected:
                interest.settle()
            self._changed.set()
        interest.sessions.append(refused)
        interest.idle_since = None
        return asyncio.shield(interest.ready)

    def leave(self, name: str, refused: Refusal) -> None:
        """Undo a ``join`` with the same arguments; harmless after a refusal."""
        interest = self._interests.get(name)
        if interest is not None and refused in interest.sessions:
            interest.sessions.remove(refused)
            if not interest.sessions:
                interest.idle_since = asyncio.get_running_loop().time()
                self._changed.set()

    # -- inside

    async def _run(self) -> None:
        while True:
            await self._broker.wait_connected()
            lost = self._broker.lost()
            if lost is not None:
                await self._follow_until(lost)
            await self._failed(GatewayError(NATS_UNAVAILABLE, "waiting for NATS"))

    async def _follow_until(self, lost: asyncio.Future[str]) -> None:
        """Follow the sessions on one connection, whatever ends it; what was subscribed on it is forgotten."""
        following = asyncio.get_running_loop().create_task(self._follow())
        try:
            either: set[asyncio.Future[Any]] = {following, lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            following.cancel()
            (error,) = await asyncio.gather(following, return_exceptions=True)
        if isinstance(error, Exception) and not isinstance(error, GatewayError):
            log.error("bridge %s: a fault, starting again", self.channel.name, exc_info=error)
        if self._pattern is not None or any(interest.subscription for interest in self._interests.values()):
            self._gaps.inc()
        await self._forget()

    async def _follow(self) -> None:
        """Keep NATS' interest as the sessions want it, for ever; raises GatewayError when the connection is lost."""
        now = asyncio.get_running_loop().time
        if self.state is BridgeState.STARTING:
            self._subscribed()
        while True:
            self._changed.clear()
            await self._drop_idle(now())
            if self._pattern is not None and self._pattern.ended.done():
                await self._lose_pattern(self._pattern)
            wants_pattern = self.channel.name in self._interests
            if wants_pattern and self._pattern is None and now() >= self._retry_at:
                await self._start_pattern()
            if self._pattern is None:
                await self._subscribe_missing()
            elif not wants_pattern:
                await self._stop_pattern()
            timed = self.state is BridgeState.FAILED or any(i.idle_since is not None for i in self._interests.values())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.5 if timed else None)

    async def _start_pattern(self) -> None:
        concrete = [interest for interest in self._interests.values() if interest.subscription is not None]
        if concrete:
            self._overlap = Overlap(Source.PATTERN, WINDOW_SECONDS)
        try:
            self._pattern = await self._subscribe(self.channel.subject, self._deliver_pattern)
        except GatewayError as error:
            if error.kind is NATS_UNAVAILABLE:
                raise
            self._overlap = None
            self._refuse_pattern(error)
            return
        self._pattern.ended.add_done_callback(lambda _: self._changed.set())
        self._retry_delay = RETRY_SECONDS[0]
        self._subscribed()
        self._source = Source.PATTERN
        if self._overlap is not None:
            self._overlap.settle_all()
        for interest in self._interests.values():
            interest.settle()
        if concrete:
            await asyncio.sleep(GRACE_SECONDS)
            await self._leave_concrete()

    async def _leave_concrete(self) -> None:
        for interest in list(self._interests.values()):
            await self._unsubscribe(interest)
        await asyncio.sleep(WINDOW_SECONDS)  # second copies of what came just before
        self._overlap = None

    async def _stop_pattern(self) -> None:
        now = asyncio.get_running_loop().time
        self._overlap = Overlap(Source.CONCRETE, WINDOW_SECONDS)
        while True:
            await self._subscribe_missing()
            if self.channel.name in self._interests:  # wanted again meanwhile
                await self._leave_concrete()
                return
            if all(now() - interest.subscribed_at >= GRACE_SECONDS for interest in self._interests.values()):
                break
            await asyncio.sleep(GRACE_SECONDS)
        pattern, self._pattern = self._pattern, None
        self._source = Source.CONCRETE
        if pattern is not None:
            await self._broker.unsubscribe(pattern)
        await asyncio.sleep(WINDOW_SECONDS)
        self._overlap = None

    async def _subscribe_missing(self) -> None:
        await self._drop_orphans()  # a name that comes back must not have two subscriptions
        missing = [
            self._subscribe_concrete(name, interest)
            for name, interest in self._interests.items()
            if interest.subscription is None and name != self.channel.name
        ]
        for result in await asyncio.gather(*missing, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _subscribe_concrete(self, name: str, interest: _Interest) -> None:
        def deliver(publication: Publication) -> None:
            self._deliver_concrete(name, publication, Source.CONCRETE)

        try:
            subscription = await self._subscribe(self.channel.subject_of(name), deliver)
        except GatewayError as error:
            if error.kind is NATS_UNAVAILABLE:
                raise
            self._refuse(name, interest, error)
            return
        if self._interests.get(name) is not interest:  # made room for another while NATS was asked
            self._orphans.append(subscription)
            return
        if self._overlap is not None:
            self._overlap.settle(name)
        interest.subscription = subscription
        interest.subscribed_at = asyncio.get_running_loop().time()
        subscription.ended.add_done_callback(lambda _: self._ended(name, interest, subscription))
        interest.settle()

    def _deliver_pattern(self, publication: Publication) -> None:
        self._hub.publish(self.channel.name, publication)
        self._deliver_concrete(self.channel.name_of(publication.subject), publication, Source.PATTERN)

    def _deliver_concrete(self, name: str, publication: Publication, source: Source) -> None:
        if self._overlap is not None:
            taken = self._overlap.is_first(source, name, publication.payload, publication.received_at)
        else:
            taken = source is self._source
        if taken:
            self._received += 1
            self._hub.publish(name, publication)

    def _make_room(self) -> None:
        concrete = [(name, i) for name, i in self._interests.items() if name != self.channel.name]
        if len(concrete) < self._max_subjects:
            return
        idle = [(i.idle_since, name) for name, i in concrete if i.idle_since is not None]
        if not idle:
            raise GatewayError(
                TOO_MANY_SUBJECTS, f"channel {self.channel.name!r} has its {self._max_subjects} subjects in use"
            )
        interest = self._interests.pop(min(idle)[1])
        if interest.subscription is not None:
            self._orphans.append(interest.subscription)

    async def _drop_idle(self, now: float) -> None:
        for name, interest in list(self._interests.items()):
            if interest.idle_since is not None and now - interest.idle_since >= LINGER_SECONDS:
                del self._interests[name]
                await self._unsubscribe(interest)
        await self._drop_orphans()

    async def _drop_orphans(self) -> None:
        while self._orphans:
            await self._broker.unsubscribe(self._orphans.pop())

    async def _lose_pattern(self, pattern: Subscription) -> None:
        """NATS took the pattern's subscription back; concrete names go on with their own."""
        await self._broker.unsubscribe(pattern)
        self._pattern, self._source = None, Source.CONCRETE
        self._refuse_pattern(pattern.ended.result())

    def _refuse_pattern(self, error: GatewayError) -> None:
        self._note_failure(error)
        self._retry_at = asyncio.get_running_loop().time() + self._retry_delay * random.uniform(0.5, 1)
        self._retry_delay = min(self._retry_delay * 2, RETRY_SECONDS[1])
        if self.channel.name in self._interests:
            self._interests[self.channel.name].settle()

    def _refuse(self, name: str, interest: _Interest, error: GatewayError) -> None:
        if self._interests.get(name) is interest:
            del self._interests[name]
        sessions, interest.sessions = interest.sessions, []
        for refused in sessions:
            refused(error)
        interest.settle()

    def _ended(self, name: str, interest: _Interest, subscription: Subscription) -> None:
        error = subscription.ended.result()
        if error.kind is not NATS_UNAVAILABLE:
            self._orphans.append(subscription)
            self._refuse(name, interest, error)
        self._changed.set()

    async def _unsubscribe(self, interest: _Interest) -> None:
        subscription, interest.subscription = interest.subscription, None
        if subscription is not None:
            await self._broker.unsubscribe(subscription)

    async def _forget(self) -> None:
        """Start from nothing; sessions stay, and are subscribed for anew."""
        subscriptions = [self._pattern, *(interest.subscription for interest in self._interests.values())]
        self._pattern = self._overlap = None
        self._source = Source.CONCRETE
        for interest in self._interests.values():
            interest.subscription = None
            interest.settle()
        for subscription in (*subscriptions, *self._orphans):
            if subscription is not None:
                await self._broker.unsubscribe(subscription)
        self._orphans.clear()

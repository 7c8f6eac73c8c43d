"""The task that owns the NATS side of a channel of many subjects (``chat.*``): interest follows the clients.

A concrete subject is subscribed to from its first session until ``LINGER_SECONDS`` after its last. While any session
wants the pattern itself there is one subscription to the pattern, and concrete names are served from it. At each
change both are in effect for ``GRACE_SECONDS``, and ``Overlap`` drops the second copies.

Names are by their keys here. Where claims fill the subject each key is taken for a concrete name, also that of the
pattern itself, whose subject then has wildcards: nobody has interest in what is filled otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import Any

from wsgw.backoff import Backoff
from wsgw.bridges.base import BridgeState, KeptBridge, OnRefused
from wsgw.bridges.concrete import ConcreteSubscriptions
from wsgw.bridges.interests import Interests
from wsgw.bridges.lost import Lost
from wsgw.bridges.overlap import Overlap, Via
from wsgw.broker.broker import Broker
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication
from wsgw.tasks import end, fault_of

log = logging.getLogger("wsgw.bridge")

LINGER_SECONDS = 5.0
GRACE_SECONDS = 1.0
WINDOW_SECONDS = 0.5
#: Between the fences of an overlap.
PACE_SECONDS = 0.1
RETRY_SECONDS = (1.0, 30.0)


class PatternBridge(KeptBridge):
    """See the module; implements ``Bridge``. ``max_subjects`` bounds the concrete subjects in use at a time."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub, max_subjects: int) -> None:
        super().__init__(channel, hub.metrics)
        self._broker = broker
        self._hub = hub
        interests = self._interests = Interests(channel, max_subjects)
        hub.metrics.subjects.labels(channel.name).set_function(lambda: interests.in_use)
        hub.metrics.subjects_limit.labels(channel.name).set(max_subjects)
        self._pattern: NatsSubscription | None = None
        self._retry_at = 0.0
        self._retry = Backoff(*RETRY_SECONDS)
        #: what concrete names are served from, or those that join while a change goes on
        self._served_via = Via.CONCRETE
        self._overlap: Overlap | None = None
        self._pace: asyncio.Task[None] | None = None  # while there is an overlap
        self._changed = asyncio.Event()
        self._lost = Lost(hub, broker)
        self._concrete = ConcreteSubscriptions(channel, broker, interests, self._deliver_concrete, self._changed.set)

    async def stop(self) -> None:
        await super().stop()
        pace = self._pace
        self._end_overlap()
        if pace is not None:
            await end(pace)

    async def retire(self) -> None:
        await self.stop()
        await self._forget()
        self._keeper.close()

    async def forget_idle(self) -> None:
        await self._concrete.drop_idle(math.inf)
        self._lost.forget([name for name in self._lost.names if self._interests.get(name) is None])

    def join(self, key: str, refused: OnRefused) -> asyncio.Future[None] | None:
        """See ``Bridge``; the interest follows."""
        interest = self._interests.get(key)
        if interest is None:
            interest = self._interests.add(key)
            if self._overlap is not None:
                self._overlap.leave_out(key)
            if not self._broker.connected:
                self._lost.add((key,), alone=False)
                interest.settle()
            elif self._served_via is Via.PATTERN:
                interest.settle()
            self._changed.set()
        self._interests.enter(key, refused)
        return interest.ready()

    def leave(self, key: str, refused: OnRefused) -> None:
        if self._interests.leave(key, refused, asyncio.get_running_loop().time()):
            self._changed.set()

    # -- inside

    async def _serve(self) -> Exception:
        """Follow the sessions on one connection until that is lost; what was subscribed on it is forgotten."""
        await self._broker.wait_connected()
        away = GatewayError(NATS_UNAVAILABLE, "waiting for NATS")
        lost = self._broker.lost()
        if lost is None:
            return away
        following = asyncio.get_running_loop().create_task(self._follow(), name=f"following {self.channel.name}")
        try:
            either: set[asyncio.Future[Any]] = {following, lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(following)
        if self._pattern is not None or self._interests.subscribed():
            self._gaps.inc()
        self._lost.add(self._interests.names(), alone=not lost.done())
        await self._forget()
        if lost.done():
            self._keeper.backoff.reset()
        return fault_of(following) or away

    async def _follow(self) -> None:
        """Keep NATS' interest as the sessions want it, for ever; raises GatewayError when the connection is lost."""
        now = asyncio.get_running_loop().time
        if self._keeper.state is BridgeState.STARTING:
            self._keeper.subscribed()
        while True:
            self._changed.clear()
            await self._concrete.drop_idle(now() - LINGER_SECONDS)
            if self._pattern is not None and self._pattern.ended.done():
                self._lose_pattern(self._pattern)
            wanted = self._interests.in_pattern
            await self._lost.settle()
            if wanted is None and self._keeper.state is BridgeState.FAILED:  # the refusal hurts nobody any more
                self._retry_at = 0.0
                self._keeper.subscribed()
            if wanted is not None and self._pattern is None and now() >= self._retry_at:
                await self._start_pattern()
            if self._pattern is None:
                await self._concrete.subscribe_missing()
                self._lost.tell(still=(self.channel.name,))
            elif wanted is None:
                await self._stop_pattern()
            timed = self._keeper.state is BridgeState.FAILED or self._interests.any_idle
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5 if timed else None):  # wait_for can swallow a cancellation (3.11)
                    await self._changed.wait()

    async def _start_pattern(self) -> None:
        concrete = self._interests.subscribed()
        if concrete:
            self._begin_overlap(Via.PATTERN, concrete)
        try:
            self._pattern = await self._broker.subscribe(self.channel.subject, self._deliver_pattern)
        except GatewayError as error:
            if error.kind is NATS_UNAVAILABLE:
                raise
            self._end_overlap()
            self._refuse_pattern(error)
            return
        self._pattern.ended.add_done_callback(lambda _: self._changed.set())
        self._retry.reset()
        self._keeper.subscribed()
        self._served_via = Via.PATTERN
        self._lost.tell()
        for interest in self._interests:
            interest.settle()
        if concrete:
            await asyncio.sleep(GRACE_SECONDS)
            await self._forget_alone()
            self._interests.detach_all()
            await self._concrete.drop_orphans()
            await asyncio.sleep(WINDOW_SECONDS)  # second copies of what came just before
            await self._read_all()
            self._end_overlap()

    async def _stop_pattern(self) -> None:
        """Back to concrete subjects. The change takes in the names there are now and takes its time whoever joins:
        names that join meanwhile get nothing from the pattern, so that for them there is no change.
        """
        self._served_via = Via.CONCRETE
        self._begin_overlap(Via.CONCRETE, self._interests.names())
        await self._concrete.subscribe_missing()
        await self._serve_joins(GRACE_SECONDS)
        await self._forget_alone()
        pattern, self._pattern = self._pattern, None
        if pattern is not None:
            self._broker.unsubscribe(pattern)
        await self._serve_joins(WINDOW_SECONDS)
        await self._read_all()
        self._end_overlap()
        self._changed.set()  # who left, or wants the pattern again, was not looked at

    def _begin_overlap(self, new: Via, names: set[str]) -> None:
        self._end_overlap()
        overlap = self._overlap = Overlap(new, names)
        pace = self._forget_unpaired(overlap)
        self._pace = asyncio.get_running_loop().create_task(pace, name=f"overlap {self.channel.name}")

    def _end_overlap(self) -> None:
        self._overlap = None
        if self._pace is not None:
            self._pace.cancel()
            self._pace = None

    async def _forget_unpaired(self, overlap: Overlap) -> None:
        """Keep sending fences, each of which proves that the twins of what was read before it have been read, too."""
        with suppress(GatewayError):  # the connection is lost, and with it the overlap
            while True:
                await self._forget_older(overlap)
                await asyncio.sleep(PACE_SECONDS)

    async def _forget_alone(self) -> None:
        """To be called when both subscriptions are in effect, before the old one goes.

        What came by the old one alone must be forgotten before the new one's copies come alone, or equal payloads were
        taken for their twins. ``_forget_unpaired`` may be late: after a standstill its fence and those copies can be
        in one read.
        """
        if self._overlap is not None:
            with suppress(GatewayError):
                await self._forget_older(self._overlap)

    async def _forget_older(self, overlap: Overlap) -> None:
        mark = overlap.mark()
        await self._broker.barrier()
        overlap.forget(mark)

    async def _read_all(self) -> None:
        """Returns when what NATS sent so far has been read (the hub may hold that up), or the connection is lost."""
        with suppress(GatewayError):
            await self._broker.barrier()

    async def _serve_joins(self, seconds: float) -> None:
        """Let time pass, in which names that join are subscribed to."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while (left := until - now()) > 0:
            self._changed.clear()
            await self._concrete.subscribe_missing()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def _deliver_pattern(self, publication: Publication) -> None:
        """For those who joined the pattern, and for the name it is to, if that is joined by way of this channel.

        Other names under the pattern belong to more specific channels, whose bridges serve them.
        """
        if self._lost.names:  # it came before the proof that NATS has taken the subscription
            self._lost.tell()
        self._hub.publish(self.channel.name, publication)
        name = self.channel.name_of(publication.subject)
        # NATS takes a publish to the subject ``chat.*`` itself, too
        if name == self.channel.name or self._interests.get(name) is None:
            self._keeper.received += 1
        else:
            self._deliver_concrete(name, publication, Via.PATTERN)

    def _deliver_concrete(self, name: str, publication: Publication, via: Via = Via.CONCRETE) -> None:
        if self._overlap is not None:
            taken = self._overlap.is_first(via, name, publication.payload)
        else:
            taken = via is self._served_via
        if taken:
            if self._lost.names and name in self._lost.names:
                self._lost.tell(still=(self.channel.name,))
            self._keeper.received += 1
            self._hub.publish(name, publication)

    def _lose_pattern(self, pattern: NatsSubscription) -> None:
        """NATS took the pattern's subscription back; concrete names go on with their own."""
        self._broker.unsubscribe(pattern)
        self._gaps.inc()
        self._lost.add(self._interests.names() - self._interests.subscribed(), alone=True)
        self._pattern, self._served_via = None, Via.CONCRETE
        self._refuse_pattern(pattern.ended.result())

    def _refuse_pattern(self, error: GatewayError) -> None:
        self._keeper.failed(error)
        self._retry_at = asyncio.get_running_loop().time() + self._retry.next()
        if self._interests.in_pattern is not None:
            self._lost.add((self.channel.name,), alone=True)
            self._interests.in_pattern.settle()

    async def _forget(self) -> None:
        """Start from nothing; sessions stay, and are subscribed for anew."""
        pattern, self._pattern = self._pattern, None
        self._end_overlap()
        self._served_via = Via.CONCRETE
        self._interests.detach_all()
        for interest in self._interests:
            interest.settle()
        if pattern is not None:
            self._broker.unsubscribe(pattern)
        await self._concrete.drop_orphans()

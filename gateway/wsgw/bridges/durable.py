"""The NATS side of a durable channel: its stream, one consumer for all clients, and what is kept for who comes back.

There is no consumer per client. The bridge's own one is made again behind the last message that was handed on whenever
it breaks, so that every message of the stream is handed on once and in order, whatever becomes of connections, servers
and the consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from wsgw.backoff import Backoff
from wsgw.bridges.base import STEADY_SECONDS, KeptBridge
from wsgw.bridges.following import Following
from wsgw.bridges.intake import Intake
from wsgw.bridges.pages import Page, Pages
from wsgw.bridges.parts import Parts
from wsgw.bridges.place import Coming, Place
from wsgw.broker.broker import Broker
from wsgw.broker.jetstream import JetStream, StreamInfo, difference
from wsgw.broker.reads import StreamReads
from wsgw.channels.channel import Channel
from wsgw.channels.position import identity
from wsgw.channels.start import Start
from wsgw.errors import NATS_UNAVAILABLE, STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.history import History
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.fanout.sender import Sender
from wsgw.shares.memory import Memory
from wsgw.shares.slices import Slices
from wsgw.tasks import end

log = logging.getLogger("wsgw.bridge")

#: Before a consumer is made again that did not last.
AGAIN_SECONDS = (0.01, 2.0)
#: Clients that are told of the end of a channel at a time.
ENDED_AT_A_TIME = 500
#: Clients that name a stream which is not known have it looked at, but not more often.
RECHECK_SECONDS = 2.0
#: Longest that they wait for that.
LOOK_SECONDS = 30.0


class DurableBridge(KeptBridge):
    """Implements ``Bridge``, and ``following.Source``. ``slices`` shares out the time for clients that catch up."""

    def __init__(self, channel: Channel, broker: Broker, hub: Hub, memory: Memory, slices: Slices) -> None:
        assert channel.durable is not None
        super().__init__(channel, hub.metrics)
        self.hub = hub
        self.slices = slices
        self.history: History | None = None
        self.whole = False
        self._durable = channel.durable
        self._broker = broker
        self.memory = memory
        self._streams = JetStream(broker, channel.durable.api)
        reads = StreamReads(broker, self._streams)
        self._parts = Parts(channel.template)
        self._pages = Pages(channel.name, channel.durable, self._streams, reads, self._parts, hub.metrics)
        self._intake = Intake(channel, broker, self._streams, reads, self._keeper, self._received)
        self._followings: set[Following] = set()
        self._keys: dict[str, int] = {}  # that are followed, and by how many
        self._waiting: dict[Following, None] = {}  # for the first history
        self._looked = asyncio.Event()  # at the stream
        self._again = Backoff(*AGAIN_SECONDS)
        self._rechecking: asyncio.Task[None] | None = None
        self._recheck_due = 0.0
        self._pending = 0  # messages of the stream still to come
        metrics, name = hub.metrics, channel.name
        metrics.ring_messages.labels(name).set_function(lambda: 0 if self.history is None else len(self.history))
        metrics.ring_bytes.labels(name).set_function(lambda: 0 if self.history is None else self.history.bytes)
        metrics.stream_lag_messages.labels(name).set_function(lambda: self._pending)

    async def stop(self) -> None:
        await super().stop()
        if self._rechecking is not None:
            await end(self._rechecking)
        await self._pages.close()

    async def retire(self) -> None:
        """The stream stays as it is."""
        await super().retire()
        for number, following in enumerate(list(self._followings)):
            following.end()
            if number % ENDED_AT_A_TIME == ENDED_AT_A_TIME - 1:
                await asyncio.sleep(0)
        if self.history is not None:
            self.history.close()

    def follow(self, key: str, sender: Sender, start: Start, told: Callable[[Place], None]) -> Following:
        """From ``start`` on ``sender`` gets what comes to ``key``; to be ended by ``Following.end``.

        ``told`` hears where that is, perhaps at once, and before the first publication; see ``Following``.
        """
        following = Following(self, key, sender, start, told)
        self._followings.add(following)
        self._keys[key] = self._keys.get(key, 0) + 1
        if self.history is None:
            self._waiting[following] = None
        else:
            following.begin()
        return following

    # -- following.Source

    def identity_of(self, subject: str) -> str:
        assert self.history is not None
        return self._parts.identity_of(self.history.identity, subject)

    def read(self, subject: str, after: int, *, anew: bool) -> asyncio.Future[Page]:
        assert self.history is not None
        return self._pages.read(self.history.identity, subject, after, anew=anew)

    def find_since(self, subject: str, stored_at_ns: int) -> asyncio.Future[int]:
        assert self.history is not None
        return self._pages.find_since(self.history.identity, subject, stored_at_ns)

    def find_last(self) -> asyncio.Future[int]:
        assert self.history is not None
        return self._pages.find_last(self.history.identity)

    def recheck(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._rechecking is None or (self._rechecking.done() and loop.time() >= self._recheck_due):
            self._recheck_due = loop.time() + RECHECK_SECONDS
            self._rechecking = loop.create_task(self._recheck(), name=f"looking at {self._durable.stream}")
        return asyncio.shield(self._rechecking)

    def came(self, coming: Coming) -> None:
        self.hub.metrics.resumes.labels(self.channel.name, coming.name.lower()).inc()

    def forget(self, following: Following) -> None:
        self._followings.discard(following)
        self._keys[following.key] -= 1
        if not self._keys[following.key]:
            del self._keys[following.key]
        self._waiting.pop(following, None)

    # -- inside

    async def _serve(self) -> Exception:
        """Bring what the stream has, on one connection, until that is lost or the stream cannot be had."""
        await self._broker.wait_connected()
        lost = self._broker.lost()
        if lost is None:
            return GatewayError(NATS_UNAVAILABLE, "waiting for NATS")
        self._intake.begin()
        while not lost.done():
            info = await self._stream()
            if not self.channel.delivers:  # it is there, for what clients publish
                self._keeper.subscribed()
                await asyncio.wait({lost})
                break
            self._look_at(info)
            began = asyncio.get_running_loop().time()
            assert self.history is not None
            reason = await self._intake.take(info, self.history.last + 1, lost)
            log.debug("bridge %s: its consumer is made again: %s", self.channel.name, reason)
            if asyncio.get_running_loop().time() - began > STEADY_SECONDS:
                self._again.reset()
            else:
                await asyncio.sleep(self._again.next())
        self._keeper.backoff.reset()  # the broker's is enough
        return GatewayError(NATS_UNAVAILABLE, "the connection to NATS was lost")

    async def _stream(self) -> StreamInfo:
        """The stream as it is to be; raises GatewayError."""
        durable, subject = self._durable, self.channel.subject
        info = await self._streams.stream(durable.stream)
        if info is None:
            if not durable.managed:
                raise GatewayError(STREAM_UNAVAILABLE, f"there is no stream {durable.stream}, and managed is false")
            info = await self._streams.create_stream(durable, subject)
            log.info("bridge %s: made the stream %s", self.channel.name, durable.stream)
        problem = difference(durable, subject, info) if durable.managed else None
        if problem is not None:
            raise GatewayError(STREAM_UNAVAILABLE, problem)
        return info

    async def _recheck(self) -> None:
        """Look whether it is the stream that is followed; if not, return when that one is."""
        self._looked.clear()
        of = None
        with suppress(GatewayError):  # it cannot be asked now: it is looked at when it can
            info = await self._streams.stream(self._durable.stream)
            if info is not None:
                of = identity(self.channel.name, info.name, info.created)
                self.whole = info.is_all(self.channel.subject)
        if self.history is not None and of == self.history.identity:
            return
        self._intake.interrupt("the stream is another one")
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._looked.wait()

    def _look_at(self, info: StreamInfo) -> None:
        """Whether it is the stream that was followed so far."""
        of = identity(self.channel.name, info.name, info.created)
        history = self.history
        self.whole = info.is_all(self.channel.subject)
        if history is None:
            self.history = History(of, info.last, self.memory)
            waiting, self._waiting = self._waiting, {}
            for following in waiting:
                following.begin_in_turn()
        elif history.identity != of or info.last < history.last:
            # another one, or one that has lost its end: all that is in it now was not handed on
            begin = 0 if history.identity != of else info.last
            log.warning("bridge %s: the stream %s is another one than before", self.channel.name, info.name)
            history.close()
            self._pages.forget()
            self._gaps.inc()
            self.history = History(of, begin, self.memory)
            for following in list(self._followings):
                following.reset()
        self._looked.set()

    def _received(self, publication: Publication, sequence: int, stored_at_ns: int, pending: int) -> None:
        history = self.history
        assert history is not None
        missing = sequence - history.last - 1
        if missing < 0:
            return  # it was handed on before
        if missing and self.whole:
            self._gaps.inc()  # they were deleted before they came, or it takes other subjects by now
            self.recheck()
            history.cut(sequence - 1)
            for following in list(self._followings):
                following.missed(missing)
        self._pending = pending
        of = self._parts.identity_of(history.identity, publication.subject)
        stored = StreamPublication(publication, of, sequence, stored_at_ns)
        history.add(stored)
        self._keeper.received += 1
        channel, hub = self.channel, self.hub
        if channel.template is not None:
            for key in channel.keys_of(stored.subject):
                if key in self._keys:
                    hub.publish(key, stored)
            return
        hub.publish(channel.name, stored)
        if channel.is_pattern:
            name = channel.name_of(stored.subject)
            if name != channel.name and name in self._keys:  # others may belong to more specific channels
                hub.publish(name, stored)

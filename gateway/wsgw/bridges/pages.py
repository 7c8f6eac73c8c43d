"""Reads of a stream for clients that are behind, a page at a time: few at once, and one for all who want the same."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial

from wsgw.bridges.parts import Parts
from wsgw.bridges.shared import Shared
from wsgw.broker.jetstream import JetStream, StreamInfo
from wsgw.broker.reads import READ_MESSAGES, StreamReads
from wsgw.channels.durable import Durable
from wsgw.channels.position import identity
from wsgw.errors import STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import StreamPublication
from wsgw.metrics import Metrics

#: Of one channel, at a time.
MAX_READS = 4
#: Pages that are kept a while, for those who come next.
MAX_PAGES = 4


@dataclass(slots=True)
class Page:
    """Messages of a subject, in order: all that there are after ``after``, up to ``until``.

    ``first`` was the oldest sequence in the stream after they had been read; ``deleted`` says that some behind it were
    not there any more, whosever they were. ``holders`` are the clients that have still to be sent some of it: it
    counts in memory once for all of them.
    """

    after: int
    until: int
    publications: tuple[StreamPublication, ...]
    first: int
    deleted: bool
    holders: int = 0
    #: what it takes in memory
    held_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.held_bytes = sum([one.kept_bytes for one in self.publications])


class Pages:
    """Of the stream of one channel. ``close`` it."""

    def __init__(
        self, channel: str, durable: Durable, streams: JetStream, reads: StreamReads, parts: Parts, metrics: Metrics
    ) -> None:
        self._channel = channel
        self._stream = durable.stream
        self._streams = streams
        self._reads = reads
        self._parts = parts
        self._count = metrics.stream_reads.labels(channel)
        self._slots = asyncio.Semaphore(MAX_READS)
        self._reading: Shared[Page] = Shared(f"reading {self._stream}")
        self._finding: Shared[int] = Shared(f"searching {self._stream}")
        self._kept: OrderedDict[tuple[str, str, int], Page] = OrderedDict()

    def read(self, of: str, subject: str, after: int, *, anew: bool) -> asyncio.Future[Page]:
        """The page of ``subject`` that begins behind ``after`` in the stream of the identity ``of``, or a bit before.

        ``anew`` it begins there exactly. Fails with GatewayError: stream_unavailable, also where the stream is another
        one by now, or nats_unavailable. To be cancelled by who wants it no more.
        """
        start = after if anew else after - after % READ_MESSAGES
        key = of, subject, start
        page = self._kept.get(key)
        if page is not None and page.until > after:
            done: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
            done.set_result(page)
            return done
        return self._reading.wait(key, partial(self._read, key))

    def find_since(self, of: str, subject: str, stored_at_ns: int) -> asyncio.Future[int]:
        """The position before the oldest message of ``subject`` that was stored then or later; fails as ``read``."""
        key = of, subject, stored_at_ns
        return self._finding.wait(key, partial(self._find_since, key))

    def find_last(self, of: str) -> asyncio.Future[int]:
        """The last sequence that the stream has given to a message; fails as ``read``."""
        return self._finding.wait(of, partial(self._find_last, of))

    def forget(self) -> None:
        """What is kept is of a stream that is no more."""
        self._kept.clear()

    async def close(self) -> None:
        """End what is being read."""
        await self._reading.close()
        await self._finding.close()

    # -- inside

    async def _read(self, key: tuple[str, str, int]) -> Page:
        of, subject, start = key
        async with self._slots:
            self._count.inc()
            before = await self._look(of)
            found = await self._reads.read(before, subject, start + 1)
            info = await self._look(of)  # what is first now was there when the messages were read
        until = found[-1].sequence if found else before.last
        here = self._parts.identity_of(of, subject)
        publications = [
            StreamPublication(message.publication, here, message.sequence, message.stored_at_ns) for message in found
        ]
        page = self._kept[key] = Page(start, until, tuple(publications), info.first, info.deleted > 0)
        if len(self._kept) > MAX_PAGES:
            self._kept.popitem(last=False)
        return page

    async def _find_since(self, key: tuple[str, str, int]) -> int:
        """By halves: servers before 2.11 look for no time."""
        of, subject, stored_at_ns = key
        async with self._slots:
            info = await self._look(of)
            low, high = info.first - 1, info.last  # it is after low, and not after high
            while low < high:
                middle = (low + high) // 2
                self._count.inc()
                message = await self._reads.read_one(info.name, subject, middle + 1)
                if message is None or message.stored_at_ns >= stored_at_ns:
                    high = middle
                else:
                    low = message.sequence
        return low

    async def _find_last(self, of: str) -> int:
        return (await self._look(of)).last

    async def _look(self, of: str) -> StreamInfo:
        info = await self._streams.stream(self._stream)
        if info is None or identity(self._channel, info.name, info.created) != of:
            raise GatewayError(STREAM_UNAVAILABLE, f"stream {self._stream} is another one, or none, by now")
        return info

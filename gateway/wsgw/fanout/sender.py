"""The sending half of a session: straight to the link while it takes, into the outbox while it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsgw.channels.channel import Channel
from wsgw.fanout.link import Link
from wsgw.fanout.outbox import Outbox, OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.metrics import Metrics

#: Most bytes that one flush hands to a transport at a time.
FLUSH_BYTES = 256 * 1024
FLUSH_MESSAGES = 4096


class Sender:
    """Order is kept between everything sent through one object, whichever way it takes.

    Without a link (a polling client between polls) or while the link is paused, items wait in the outbox.
    """

    __slots__ = ("_clear", "_closed", "_link", "_metrics", "_outbox", "_paused", "_totals", "_transport", "on_queued")

    def __init__(self, metrics: Metrics, totals: OutboxTotals, transport: str) -> None:
        self._metrics = metrics
        self._totals = totals
        self._transport = transport
        self._outbox: Outbox | None = None  # made when first needed: most sessions never queue
        self._link: Link | None = None
        self._paused = False
        self._closed = False
        self._clear = False
        #: told when something was queued, for a transport that fetches (a poll)
        self.on_queued: Callable[[], None] | None = None

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._outbox) if self._outbox is not None else 0

    @property
    def closed(self) -> bool:
        """After ``close``: it takes nothing."""
        return self._closed

    def offer(self, batch: Batch) -> bool:
        """Send a batch of publications, or queue it. True when it was written at once (the hub counts those)."""
        if self._clear:
            self._link.write_batch(batch)  # type: ignore[union-attr]  # clear only with a link
            return True
        if not self._closed:
            outbox = self._queue()
            buffered = self._link.buffered_bytes() if self._link is not None else 0
            dropped = sum([outbox.put(batch.channel, item, buffered) for item in batch.items])
            if dropped:
                self._metrics.dropped_messages.labels(batch.channel.name, batch.channel.slow_consumer).inc(dropped)
            if self.on_queued is not None:
                self.on_queued()
        return False

    def send(self, item: Encoded) -> None:
        """Send or queue a control item, which is never dropped; raises Overflow when too many wait."""
        if self._clear:
            self._link.write(item)  # type: ignore[union-attr]
        elif not self._closed:
            self._queue().put_control(item)
            if self.on_queued is not None:
                self.on_queued()

    def send_all(self, items: Sequence[Encoded]) -> None:
        """As ``send`` for each of ``items``, in one write where the link takes it."""
        if self._clear and items:
            joined = Encoded(*[message for item in items for message in item.messages])
            self._link.write(joined)  # type: ignore[union-attr]
            return
        for item in items:
            self.send(item)

    def attach(self, link: Link) -> None:
        """From now on write to ``link``, first what waits."""
        if self._closed:
            return
        self._link = link
        self._paused = False
        self._flush()

    def detach(self) -> None:
        """From now on queue everything."""
        self._link = None
        self._clear = False

    def pause(self) -> None:
        """The link's buffer is full."""
        self._paused = True
        self._clear = False

    def resume(self) -> None:
        """The link takes more; writes what waits, as far as it goes."""
        self._paused = False
        self._flush()

    def take(self, max_messages: int, max_bytes: int) -> list[Encoded]:
        """What waits, for a transport that fetches (a poll); counted as delivered. See ``Outbox.take``."""
        if self._outbox is None:
            return []
        return self._delivered(self._outbox.take(max_messages, max_bytes))

    def finish(self) -> None:
        """Write what waits to the link, even if it is paused: a closing handshake comes behind it."""
        if self._outbox is not None and self._link is not None:
            while len(self._outbox):
                for item in self._delivered(self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES)):
                    self._link.write(item)

    def close(self) -> None:
        """Send nothing more and forget what waits."""
        self._closed = True
        self._clear = False
        self._link = None
        if self._outbox is not None:
            self._outbox.clear()
            self._outbox = None

    def _flush(self) -> None:
        # link.write may call pause() from inside, through the transport's pause_writing
        while self._outbox and self._link is not None and not self._paused:
            items = self._delivered(self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES))
            self._link.write(Encoded(*[message for item in items for message in item.messages]))
        if not self._outbox and self._link is not None and not self._paused:
            self._outbox = None
            self._clear = True

    def _queue(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self._totals)
        return self._outbox

    def _delivered(self, taken: list[tuple[Channel | None, Encoded]]) -> list[Encoded]:
        for channel, item in taken:
            if channel is not None:
                self._metrics.deliveries.labels(channel.name, self._transport).inc()
                self._metrics.delivered_bytes.labels(channel.name).inc(item.size)
        return [item for _, item in taken]

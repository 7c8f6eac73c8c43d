"""The sending half of a session: straight to the link while it takes, into the outbox while it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.fanout.link import Link
from wsgw.fanout.outbox import Outbox, OutboxTotals, Overflow
from wsgw.fanout.publication import Batch, Encoded, Wire

#: Most bytes that one flush hands to a transport at a time.
FLUSH_BYTES = 256 * 1024
FLUSH_MESSAGES = 4096


class SlowClient(Protocol):
    """A session, as told by its sender that its client does not keep up. No call may raise or block."""

    def dropped(self, batch: Batch, count: int) -> None:
        """The outbox is full: ``count`` publications of the channel of ``batch`` were dropped to take that in."""


class Sender:
    """Order is kept between everything sent through one object, whichever way it takes.

    Without a link (a polling client between polls) or while the link is paused, items wait in the outbox.
    ``wire`` is how its client is written to. ``overflowed`` is called when more control items wait than any reading
    client leaves, which are not sent then: the connection is to be ended.
    """

    __slots__ = (
        "_clear",
        "_closed",
        "_link",
        "_outbox",
        "_overflowed",
        "_paused",
        "_totals",
        "on_queued",
        "session",
        "wire",
    )

    def __init__(self, wire: Wire, totals: OutboxTotals, overflowed: Callable[[], None]) -> None:
        self.wire = wire
        self._totals = totals
        self._overflowed = overflowed
        self._outbox: Outbox | None = None  # made when first needed: most sessions never queue
        self._link: Link | None = None
        self._paused = False
        self._closed = False
        self._clear = False
        #: told when something was queued, for a transport that fetches (a poll)
        self.on_queued: Callable[[], None] | None = None
        #: told when the client is slow
        self.session: SlowClient | None = None

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._outbox) if self._outbox is not None else 0

    @property
    def closed(self) -> bool:
        """After ``close``: it takes nothing."""
        return self._closed

    def offer(self, batch: Batch) -> bool:
        """Send a batch of publications, or queue it. True when it was written at once (its audience counts those)."""
        if self._clear:
            self._link.write_batch(batch)  # type: ignore[union-attr]  # clear only with a link
            return True
        if not self._closed:
            put = self._queue().put
            buffered = self._link.buffered_bytes() if self._link is not None else 0
            dropped = sum([put(batch, item, buffered) for item in batch.items])
            if dropped and self.session is not None:
                self.session.dropped(batch, dropped)
            if self.on_queued is not None:
                self.on_queued()
        return False

    def send(self, item: Encoded) -> None:
        """Send or queue a control item, which is never dropped."""
        if self._clear:
            self._link.write(item)  # type: ignore[union-attr]
        elif not self._closed:
            try:
                self._queue().put_control(item)
            except Overflow:
                self._overflowed()
                return
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
        return self._outbox.take(max_messages, max_bytes)

    def finish(self) -> None:
        """Write what waits to the link, even if it is paused: a closing handshake comes behind it."""
        if self._outbox is not None and self._link is not None:
            while len(self._outbox):
                for item in self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES):
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
            items = self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES)
            self._link.write(Encoded(*[message for item in items for message in item.messages]))
        if not self._outbox and self._link is not None and not self._paused:
            self._outbox = None
            self._clear = True

    def _queue(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self._totals)
        return self._outbox

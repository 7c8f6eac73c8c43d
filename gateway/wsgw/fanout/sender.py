"""The sending half of a session: straight to the link while it takes, into the outbox while it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from wsgw.fanout.frames import Message
from wsgw.fanout.gap import Gap
from wsgw.fanout.link import OneWayLink
from wsgw.fanout.outbox import Outbox, OutboxTotals, Overflow
from wsgw.fanout.publication import Batch, Encoded, Wire

#: Most bytes that one flush hands to a transport at a time.
FLUSH_BYTES = 256 * 1024
FLUSH_MESSAGES = 4096


class Addressee(Protocol):
    """A session, as its sender and the hub tell it what became of publications. No call may raise or block."""

    def dropped(self, batch: Batch, count: int) -> None:
        """The outbox is full: ``count`` publications of the channel of ``batch`` were dropped to take that in."""

    def gapped(self, name: str, gap: Gap) -> None:
        """Publications to ``name`` may be missing: between what it got so far and what comes next."""


class Sender:
    """Order is kept between everything sent through one object, whichever way it takes.

    Without a link (a polling client between polls) or while the link is paused, items wait in the outbox.
    ``wire`` is how its client is written to. ``overflowed`` is called when more control items wait than any reading
    client leaves, or more of a channel that drops nothing: the connection is to be ended.
    """

    __slots__ = (
        "_clear",
        "_closed",
        "_link",
        "_outbox",
        "_overflowed",
        "_paused",
        "_room",
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
        self._link: OneWayLink | None = None
        self._paused = False
        self._closed = False
        self._clear = False
        self._room: dict[Callable[[], None], None] | None = None  # who is told once there is some
        #: told when something was queued, for a transport that fetches (a poll)
        self.on_queued: Callable[[], None] | None = None
        #: told of what its client misses
        self.session: Addressee | None = None

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._outbox) if self._outbox is not None else 0

    @property
    def control(self) -> tuple[int, int]:
        """How many control items wait, and their bytes, with their overhead."""
        return (0, 0) if self._outbox is None else self._outbox.control

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
            buffered = self._link.buffered_bytes() if self._link is not None else 0
            try:
                dropped = self._queue().put(batch, buffered)
            except Overflow:
                self._overflowed()
                return False
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
            self._link.write(_joined(items))  # type: ignore[union-attr]
            return
        for item in items:
            self.send(item)

    def send_each(self, messages: Sequence[Message]) -> None:
        """As ``send_all`` of items of one message each, which are made only where they are queued."""
        if self._clear and messages:
            self._link.write(Encoded(*messages))  # type: ignore[union-attr]
            return
        for message in messages:
            self.send(Encoded(message))

    def has_room(self, told: Callable[[], None]) -> bool:
        """Whether nothing waits, here or at the link; if not, ``told`` is called once when that is so, or at the end.

        For who has much to send and waits for the client.
        """
        if self._closed or self._clear or (self._link is None and not self._outbox):
            return True
        self._wait_for_room(told)
        return False

    def forget(self, told: Callable[[], None]) -> None:
        """``told`` has nothing to send any more; harmless where it does not wait."""
        if self._room is not None:
            self._room.pop(told, None)

    def attach(self, link: OneWayLink) -> None:
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
        taken = self._outbox.take(max_messages, max_bytes)
        if not self._outbox:
            self._close_outbox()
            self._tell_room()
        return taken

    def finish(self) -> None:
        """Write what waits to the link, even if it is paused: a closing handshake comes behind it."""
        if self._outbox is not None and self._link is not None:
            while self._outbox and self._link is not None:
                for item in self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES):
                    if self._link is not None:
                        # by itself: joined, each client's transport would keep bytes of its own of what all have
                        self._link.write(item.framed())
            self._close_outbox()

    def close(self) -> None:
        """Send nothing more, forget what waits, and who is to be told anything."""
        self._closed = True
        self._clear = False
        self._link = None
        self._overflowed = _nobody
        self.on_queued = None
        self.session = None
        self._close_outbox()
        self._tell_room()

    # -- Holder, while something waits

    def held_bytes(self) -> int:
        return self._outbox.kept_bytes if self._outbox is not None else 0

    def evict(self) -> None:
        """End the client; where it shares most of what waits for it, drop the oldest of that instead.

        To end it would free nothing then, until all who share it had been ended.
        """
        if self._outbox is not None and self._outbox.shed():
            self._totals.memory.register(self)
            return
        self.overflow()

    def overflow(self) -> None:
        """End the client: more is kept for it than may be."""
        self._overflowed()
        self.close()

    # -- inside

    def _flush(self) -> None:
        # link.write may call pause() from inside, through the transport's pause_writing
        while self._outbox and self._link is not None and not self._paused:
            self._link.write(_joined(self._outbox.take(FLUSH_MESSAGES, FLUSH_BYTES)))
        if not self._outbox and self._link is not None and not self._paused:
            self._close_outbox()
            self._clear = True
            self._tell_room()

    def _wait_for_room(self, told: Callable[[], None]) -> None:
        if self._room is None:
            self._room = {}
        self._room[told] = None

    def _tell_room(self) -> None:
        if self._room is not None:
            waiting, self._room = self._room, None
            for told in waiting:
                told()

    def _queue(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self._totals, self.wire)
            self._totals.memory.register(self)
        return self._outbox

    def _close_outbox(self) -> None:
        if self._outbox is not None:
            self._totals.memory.discard(self)
            self._outbox.close()
            self._outbox = None


def _joined(items: Sequence[Encoded]) -> Encoded:
    """All messages of ``items``, for one write."""
    return items[0] if len(items) == 1 else Encoded(*[message for item in items for message in item.messages])


def _nobody() -> None:
    """Hears that a client overflowed which is gone."""

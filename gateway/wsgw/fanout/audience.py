"""The subscribers of one name that share a wire: what is kept for them until a turn ends, and its handing over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from wsgw.channels.template import name_in
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.gap import Gap, GapMark
from wsgw.fanout.publication import BATCH_BYTES, Batch, Encoded, Publication, Wire, cut
from wsgw.fanout.sender import Sender

log = logging.getLogger("wsgw.hub")

#: Deliveries between two looks at the clock: one of a subscriber that is congested costs half a microsecond or more.
LOOK_EVERY = 64


class Audience:
    """The members get what is added between their ``join`` and their ``leave``, in order, under the name in ``key``.

    ``schedule(audience)`` is called when there is something to ``flush``; ``clock()`` is that of publications.
    """

    __slots__ = (
        "_batch",
        "_batch_at",
        "_batch_written",
        "_clock",
        "_gap",
        "_late",
        "_marks",
        "_members",
        "_no_batch",
        "_owed",
        "_pending",
        "_pending_at",
        "_pending_bytes",
        "_schedule",
        "_waiting",
        "deliveries",
        "name",
        "scheduled",
        "wire",
    )

    def __init__(
        self,
        key: str,
        wire: Wire,
        deliveries: Deliveries,
        clock: Callable[[], float],
        schedule: Callable[[Audience], None],
    ) -> None:
        self.name = name_in(key)
        self.wire = wire
        self.deliveries = deliveries
        #: whoever schedules it takes note of that here
        self.scheduled = False
        self._clock = clock
        self._schedule = schedule
        self._members: dict[Sender, None] = {}
        self._pending: list[Encoded] = []  # what is in no batch yet
        self._pending_bytes = 0
        self._pending_at = 0.0  # when the first of it was received
        self._late: dict[Sender, int] = {}  # new members, and how much of ``_pending`` came before them
        self._owed: dict[Sender, int] = {}  # those of the batch that is begun, and how much of it came before them
        self._batch = self._no_batch = Batch(deliveries, self.name, ())  # the one that is being handed over
        self._batch_at = 0.0
        self._batch_written = 0
        self._waiting: dict[Sender, None] = {}  # members that have still to get it
        self._marks = 0  # of gaps, in ``_pending``
        self._gap: Gap | None = None  # what the batch is instead

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, sender: Sender) -> bool:
        return sender in self._members

    def add(self, publication: Publication) -> None:
        """Keep ``publication`` for the members there are now."""
        deliveries = self.deliveries
        item = self.wire.encode(deliveries.channel, self.name, publication)
        if deliveries.looks_at_each:
            if deliveries.needs_origins:
                item.origin = self.name, publication.subject
            if deliveries.wants_json and publication.turned_out_no_json():
                deliveries.not_json += 1
        if not self._pending:
            self._pending_at = publication.received_at
        self._pending.append(item)
        self._pending_bytes += item.size
        if not self.scheduled:
            self._schedule(self)

    def mark(self, gap: Gap) -> None:
        """Tell the members there are now of ``gap``, between what was added before and what is added after it."""
        if not self._pending:
            self._pending_at = self._clock()
        self._pending.append(GapMark(gap))
        self._marks += 1
        if not self.scheduled:
            self._schedule(self)

    def join(self, sender: Sender) -> None:
        """``sender`` is a member; it may be one only once."""
        self._members[sender] = None
        if self._pending:
            self._late[sender] = len(self._pending)

    def leave(self, sender: Sender) -> None:
        """Undo ``join``; ``sender`` is given now what is kept for it."""
        del self._members[sender]
        before = self._late.pop(sender, 0)
        owed = self._owed.pop(sender, None)
        if owed is not None:
            self._serve_late(sender, self._batch.items, owed)
        if sender in self._waiting:
            del self._waiting[sender]
            if self._gap is None:  # else it is nothing to who leaves
                written = self._serve({sender: None}, self._batch)
                self._batch_written += written
            self._end_batch()
        if not sender.closed:
            self._serve_late(sender, self._pending, before)

    def flush(self, until: float) -> bool:
        """Serve members, at least some, until the clock says ``until``; whether all of them have everything."""
        while self._waiting or self._pending:
            if not self._waiting:
                self._begin_batch()
            if self._gap is not None:
                self._tell(self._gap)
            else:
                written = self._serve(self._waiting, self._batch, max(1, LOOK_EVERY // len(self._batch.items)))
                self._batch_written += written  # not in one expression: who is served may make another one leave
            self._end_batch()
            if self._clock() >= until:
                break
        return not self._waiting and not self._pending

    # -- inside

    def _begin_batch(self) -> None:
        items, self._pending = self._pending, []
        if self._marks:
            items, self._pending = self._up_to_mark(items)
        if self._pending_bytes > BATCH_BYTES:
            items, rest = cut(items)
            self._pending[:0] = rest
        self._pending_bytes = sum([item.size for item in self._pending])
        self._batch = Batch(self.deliveries, self.name, items)
        self._batch_at = self._pending_at
        self._batch_written = 0
        self._waiting = dict(self._members)
        if self._late:
            late, self._late = self._late, {}
            for sender, before in late.items():
                del self._waiting[sender]
                if before > len(items):
                    self._late[sender] = before - len(items)
                else:
                    self._owed[sender] = before
            while self._owed:  # whoever is served may make another one leave
                sender, before = self._owed.popitem()
                self._serve_late(sender, items, before)

    def _up_to_mark(self, items: list[Encoded]) -> tuple[list[Encoded], list[Encoded]]:
        """Those before the first mark, or it where there are none; and the rest."""
        for number, item in enumerate(items):
            if isinstance(item, GapMark):
                if not number:
                    self._gap = item.gap
                    self._marks -= 1
                return items[: number or 1], items[number or 1 :]
        return items, []

    def _end_batch(self) -> None:
        """If all have it: its bytes are not kept until the next one."""
        if self._waiting:
            return
        self._gap = None
        if self._batch_written:
            self.deliveries.latency.observe(self._clock() - self._batch_at)
            self._batch_written = 0
        self._batch = self._no_batch

    def _serve_late(self, sender: Sender, items: Sequence[Encoded], before: int) -> None:
        """Hand ``items`` to ``sender`` without the first ``before``."""
        items = items[before:]
        if self._marks:  # of a gap hears who stays
            items = [item for item in items if not isinstance(item, GapMark)]
        if items:
            self._serve({sender: None}, Batch(self.deliveries, self.name, items))

    def _tell(self, gap: Gap) -> None:
        """Tell some of ``_waiting``, and take them out."""
        for _ in range(min(LOOK_EVERY, len(self._waiting))):
            sender, _ = self._waiting.popitem()
            session = sender.session
            try:
                if session is not None:
                    session.gapped(self.name, gap)
            except Exception:  # one client's fault is not another's
                log.exception("channel %s: telling a client of a gap failed", self.deliveries.channel.name)
            if not self._waiting:  # who is told may make another one leave
                break

    def _serve(self, waiting: dict[Sender, None], batch: Batch, most: int = 1) -> int:
        """Hand ``batch`` to ``most`` of ``waiting`` and take them out; to how many it was written at once."""
        written = 0
        while waiting and most:
            most -= 1
            sender, _ = waiting.popitem()
            try:
                written += sender.offer(batch)
            except Exception:  # one client's fault is not another's
                log.exception("channel %s: writing to a client failed", self.deliveries.channel.name)
        self.deliveries.messages += written * len(batch.items)
        self.deliveries.bytes += written * batch.size
        return written

"""A session's bounded queue of what its socket could not take yet.

One queue keeps the order of everything the session gets. Its unit is one publication with all its messages. Each
channel has limits of its own in it, and when a channel is over them the oldest of that channel are dropped
(``drop_oldest``), or the client is found too slow (``disconnect``), and told so by ``Overflow``. Of a channel of which
only the newest counts (``latest``) no more than that of each subject waits. Before what comes next of a channel the
client is told how many were dropped, where its protocol can say it. Control items (acks, CONNECT and their like) are
never dropped; a session that lets them pile up is not reading at all: ``Overflow``, too.

What waits counts in the process' ``Memory`` with its overhead, and a publication that waits in many outboxes with its
bytes only once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat

from wsgw.channels.channel import SlowConsumer
from wsgw.fanout.publication import ENCODED_BYTES, MESSAGE_BYTES, Batch, Encoded, Wire
from wsgw.fanout.share import Newest, Share
from wsgw.shares.memory import Memory

MAX_CONTROL_ITEMS = 65_536
#: With their overhead.
MAX_CONTROL_BYTES = 16 * 1024 * 1024
#: What an outbox takes in memory beside its items, with one channel; and each item beside itself: a place in two
#: queues (``tests/unit/fanout/test_outbox.py`` measures both).
OUTBOX_BYTES, ENTRY_BYTES = 2_048, 17


class Overflow(Exception):
    """More control items wait than any reading client leaves, or more of a channel that drops nothing."""


class OutboxTotals:
    """What waits in all outboxes of a process, for the gauges, and the ``memory`` in which that counts.

    ``kept_bytes`` is what it takes in memory, where what waits in many outboxes counts once.
    """

    __slots__ = ("bytes", "kept_bytes", "memory", "messages")

    def __init__(self, memory: Memory | None = None) -> None:
        self.messages = 0
        self.bytes = 0
        self.kept_bytes = 0
        self.memory = memory or Memory()


class Outbox:
    """See the module. All methods are synchronous; sizes are bytes of messages without framing. ``close`` it.

    ``wire`` is how its client is told of what was dropped.
    """

    __slots__ = ("_control", "_items_bytes", "_live", "_queue", "_shares", "_totals", "_wire")

    def __init__(self, totals: OutboxTotals, wire: Wire) -> None:
        self._totals = totals
        self._wire = wire
        self._queue: deque[Share] = deque()  # whose turn it is: an item by itself would have to know its place
        self._live = 0
        self._control: Share | None = None
        self._shares: dict[str, Share] = {}
        self._items_bytes = 0  # with what they take beside their messages, whoever else has them
        totals.memory.add(OUTBOX_BYTES)

    def __len__(self) -> int:
        return self._live

    @property
    def kept_bytes(self) -> int:
        """Its part in what all outboxes take in memory, by what waits in it; for the part that is its alone would have
        to be looked for.
        """
        totals = self._totals
        each = totals.bytes + totals.messages * (ENCODED_BYTES + MESSAGE_BYTES + ENTRY_BYTES)
        shared = self._items_bytes * totals.kept_bytes // each if totals.kept_bytes < each else self._items_bytes
        return OUTBOX_BYTES + shared

    @property
    def control(self) -> tuple[int, int]:
        """How many control items wait, and their bytes, with their overhead."""
        return (0, 0) if self._control is None else (len(self._control.items), self._control.bytes)

    def put(self, batch: Batch, transport_bytes: int = 0) -> int:
        """Queue the publications of ``batch``; returns how many of its channel were dropped for them.

        ``transport_bytes`` is what the transport's own buffer holds: it counts towards the channel's limit of bytes.
        The newest publication always stays, so a limit below one publication still lets the last one through. Raises
        Overflow where the channel would rather have the client disconnected: this outbox is to be closed then.
        """
        deliveries = batch.deliveries
        channel = deliveries.channel
        share = self._shares.get(channel.name)
        if share is None:
            share = self._shares[channel.name] = Share(deliveries)
        items, added = share.items, batch.items
        if isinstance(items, Newest):
            if channel.slow_consumer is SlowConsumer.LATEST:
                return self._put_newest(share, items, batch, transport_bytes)
            items = share.items = deque(items)  # it was so until the configuration was read again
        items.extend(added)
        share.bytes += batch.size
        self._queue.extend(repeat(share, len(added)))
        kept = 0
        for item in added:
            item.outboxes += 1
            if item.outboxes == 1:
                kept += item.kept_bytes
        self._count(len(added), batch.size, batch.kept_bytes, kept)
        room = channel.outbox_bytes - transport_bytes
        if share.bytes <= room and len(items) <= channel.outbox_messages:
            return 0
        if share.drops_none:
            if len(items) > 1:
                raise Overflow
            return 0
        return self._drop(share, channel.outbox_messages, room)

    def put_control(self, item: Encoded) -> None:
        """Queue an item that is never dropped; raises Overflow when too many wait."""
        share = self._control
        if share is None:
            share = self._control = Share(None)
        kept = item.kept_bytes
        if len(share.items) >= MAX_CONTROL_ITEMS or share.bytes + kept > MAX_CONTROL_BYTES:
            raise Overflow
        items = share.items
        assert not isinstance(items, Newest)
        items.append(item)
        share.bytes += kept
        self._queue.append(share)
        self._count(1, item.size, kept, kept)

    def take(self, max_messages: int, max_bytes: int) -> list[Encoded]:
        """The oldest items, in order, out of the queue; publications count as delivered.

        Before the next one of a channel of which some were dropped comes what tells of that. At most ``max_messages``
        messages (not items) and ``max_bytes``, with these, but at least one item when there is one.
        """
        taken: list[Encoded] = []
        messages = size = items_bytes = freed = told = told_bytes = 0
        queue = self._queue
        while queue:
            share = queue[0]
            if share.dropped:
                share.dropped -= 1
                queue.popleft()
                continue
            item = share.items[0]
            if share.untold is not None:
                notices = self._told(share, max(max_messages - messages, 0 if taken else 1))
                taken += notices
                messages += len(notices)
                told += len(notices)
                told_bytes += sum([notice.size for notice in notices])
                if share.untold is not None:  # there is no room for all of it
                    break
            messages += len(item.messages)
            if taken and (messages > max_messages or size + told_bytes + item.size > max_bytes):
                break
            size += item.size
            queue.popleft()
            share.items.popleft()
            taken.append(item)
            kept = item.kept_bytes
            items_bytes += kept
            if share.deliveries is None:
                share.bytes -= kept
                freed += kept
                continue
            share.bytes -= item.size
            share.deliveries.messages += 1
            share.deliveries.bytes += item.size
            item.outboxes -= 1
            if not item.outboxes:
                freed += kept
        self._count(told - len(taken), -size, -items_bytes, -freed)
        return taken

    def shed(self) -> bool:
        """Drop the oldest quarter of the publications, for want of memory; the newest of each channel stays.

        Does nothing, and returns False, where at least half of what waits is in no other outbox, or there is no more
        than the newest: then to end the client is what frees it. Nor where some of it is of a channel that drops none.
        """
        shares = self._shares.values()
        if any(share.items and share.drops_none for share in shares):
            return False
        waiting = sum([len(share.items) for share in shares])
        alone = sum([item.kept_bytes for share in shares for item in share.items if item.outboxes == 1])
        if self._control is not None:
            alone += self._control.bytes
        if waiting < 2 or 2 * alone >= self._items_bytes:
            return False
        dropped: list[Encoded] = []
        staying: list[Share] = []
        queue = self._queue
        while queue and len(dropped) < (waiting + 3) // 4:
            share = queue.popleft()
            if share.dropped:
                share.dropped -= 1
            elif share.deliveries is None or len(share.items) == 1:  # the last one, before which the rest is told
                staying.append(share)
            else:
                item = share.items.popleft()
                share.bytes -= item.size
                share.lost((item,))
                dropped.append(item)
        queue.extendleft(reversed(staying))
        if not dropped:
            return False
        kept = sum([item.kept_bytes for item in dropped])
        self._count(-len(dropped), -sum([item.size for item in dropped]), -kept, -_released(dropped))
        return True

    def close(self) -> None:
        """Forget everything, for good."""
        self._totals.memory.add(-OUTBOX_BYTES)
        if not self._live:
            return
        size = freed = 0
        for share in self._shares.values():
            size += share.bytes
            freed += _released(share.items)
        if self._control is not None:
            size += sum([item.size for item in self._control.items])
            freed += self._control.bytes
        self._count(-self._live, -size, -self._items_bytes + self._live * ENTRY_BYTES, -freed)
        self._queue.clear()
        self._shares.clear()
        self._control = None

    # -- inside

    def _put_newest(self, share: Share, items: Newest, batch: Batch, transport_bytes: int) -> int:
        """As ``put``, of a channel of which only the newest counts."""
        replaced: list[Encoded] = []
        kept = 0
        for item in batch.items:
            old = items.replace(item)
            if old is not None:
                replaced.append(old)
            item.outboxes += 1
            if item.outboxes == 1:
                kept += item.kept_bytes
        share.bytes += batch.size
        self._queue.extend(repeat(share, len(batch.items)))
        self._count(len(batch.items), batch.size, batch.kept_bytes, kept)
        if replaced:
            for _ in replaced:
                self._leave_place(share)
            self._forget(share, replaced)
        channel = batch.deliveries.channel
        return len(replaced) + self._drop(share, channel.outbox_messages, channel.outbox_bytes - transport_bytes)

    def _told(self, share: Share, most: int) -> list[Encoded]:
        """What the client is told of publications that were dropped, in ``most`` messages; the rest is kept."""
        untold = share.untold
        told: list[Encoded] = []
        assert untold is not None
        while untold and len(told) < most:
            name = next(iter(untold))
            notice = self._wire.dropped(name, untold.pop(name))
            if notice is not None:
                told.append(notice)
        if not untold:
            share.untold = None
        return told

    def _drop(self, share: Share, most: int, room: int) -> int:
        """Drop the oldest of ``share`` until there are at most ``most``, of ``room`` bytes; but never the last one."""
        items = share.items
        dropped: list[Encoded] = []
        size = 0
        while len(items) > 1 and (len(items) > most or share.bytes - size > room):
            item = items.popleft()
            size += item.size
            dropped.append(item)
            self._leave_place(share)
        if dropped:
            self._forget(share, dropped)
        return len(dropped)

    def _leave_place(self, share: Share) -> None:
        """One of its places in the queue is too many: any is as good as another."""
        if self._queue[0] is share:
            self._queue.popleft()
        else:
            share.dropped += 1

    def _forget(self, share: Share, dropped: list[Encoded]) -> None:
        """They do not wait any more, nor does their place."""
        size = sum([item.size for item in dropped])
        share.bytes -= size
        share.lost(dropped)
        kept = sum([item.kept_bytes for item in dropped])
        self._count(-len(dropped), -size, -kept, -_released(dropped))
        if len(self._queue) > 2 * self._live + 64:
            self._compact()

    def _compact(self) -> None:
        """Forget the places of what was dropped, which lie behind the oldest item."""
        queue: deque[Share] = deque()
        for share in self._queue:
            if share.dropped:
                share.dropped -= 1
            else:
                queue.append(share)
        self._queue = queue

    def _count(self, items: int, size: int, items_bytes: int, kept: int) -> None:
        """``items`` more wait here, of ``size``, which take ``items_bytes``, and ``kept`` of these nobody else has."""
        self._live += items
        self._items_bytes += items_bytes + items * ENTRY_BYTES
        totals = self._totals
        totals.messages += items
        totals.bytes += size
        kept += items * ENTRY_BYTES
        totals.kept_bytes += kept
        totals.memory.add(kept)


def _released(items: Iterable[Encoded]) -> int:
    """One outbox less keeps each of ``items``, publications; how many bytes nobody keeps any more."""
    freed = 0
    for item in items:
        item.outboxes -= 1
        if not item.outboxes:
            freed += item.kept_bytes
    return freed

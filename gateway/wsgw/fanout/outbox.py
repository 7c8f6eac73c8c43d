"""A session's bounded queue of what its socket could not take yet.

One queue keeps the order of everything the session gets. Its unit is one publication with all its messages. Each
channel has limits of its own in it, and when a channel is over them the oldest of that channel are dropped
(``drop_oldest``), or the client is found too slow (``disconnect``), and told so by ``Overflow``. Control items (acks,
CONNECT and their like) are never dropped; a session that lets them pile up is not reading at all: ``Overflow``, too.

What waits counts in the process' ``Memory`` with its overhead, and a publication that waits in many outboxes with its
bytes only once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat

from wsgw.channels.channel import SlowConsumer
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.publication import ENCODED_BYTES, MESSAGE_BYTES, Batch, Encoded
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


class _Share:
    """One channel's part of the queue (None: the control items'): its items in order and their bytes.

    ``dropped`` is how many of its places in the queue, the first ones, stand for items that were dropped since.
    """

    __slots__ = ("bytes", "deliveries", "dropped", "items")

    def __init__(self, deliveries: Deliveries | None) -> None:
        self.deliveries = deliveries
        self.items: deque[Encoded] = deque()
        self.bytes = 0
        self.dropped = 0


class Outbox:
    """See the module. All methods are synchronous; sizes are bytes of messages without framing. ``close`` it."""

    __slots__ = ("_control", "_items_bytes", "_live", "_queue", "_shares", "_totals")

    def __init__(self, totals: OutboxTotals) -> None:
        self._totals = totals
        self._queue: deque[_Share] = deque()  # whose turn it is: an item by itself would have to know its place
        self._live = 0
        self._control: _Share | None = None
        self._shares: dict[str, _Share] = {}
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
            share = self._shares[channel.name] = _Share(deliveries)
        items, added = share.items, batch.items
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
        if _drops_none(deliveries):
            if len(items) > 1:
                raise Overflow
            return 0
        dropped = self._drop(share, channel.outbox_messages, room)
        deliveries.dropped += dropped
        return dropped

    def put_control(self, item: Encoded) -> None:
        """Queue an item that is never dropped; raises Overflow when too many wait."""
        share = self._control
        if share is None:
            share = self._control = _Share(None)
        kept = item.kept_bytes
        if len(share.items) >= MAX_CONTROL_ITEMS or share.bytes + kept > MAX_CONTROL_BYTES:
            raise Overflow
        share.items.append(item)
        share.bytes += kept
        self._queue.append(share)
        self._count(1, item.size, kept, kept)

    def take(self, max_messages: int, max_bytes: int) -> list[Encoded]:
        """The oldest items, in order, out of the queue; publications count as delivered.

        At most ``max_messages`` messages (not items) and ``max_bytes``, but at least one item when there is one.
        """
        taken: list[Encoded] = []
        messages = size = items_bytes = freed = 0
        queue = self._queue
        while queue:
            share = queue[0]
            if share.dropped:
                share.dropped -= 1
                queue.popleft()
                continue
            item = share.items[0]
            messages += len(item.messages)
            if taken and (messages > max_messages or size + item.size > max_bytes):
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
        self._count(-len(taken), -size, -items_bytes, -freed)
        return taken

    def shed(self) -> bool:
        """Drop the oldest quarter of the publications, for want of memory; the newest stays.

        Does nothing, and returns False, where at least half of what waits is in no other outbox, or there is no more
        than the newest: then to end the client is what frees it. Nor where some of it is of a channel that drops none.
        """
        shares = self._shares.values()
        if any(share.items and _drops_none(share.deliveries) for share in shares):
            return False
        waiting = sum([len(share.items) for share in shares])
        alone = sum([item.kept_bytes for share in shares for item in share.items if item.outboxes == 1])
        if self._control is not None:
            alone += self._control.bytes
        if waiting < 2 or 2 * alone >= self._items_bytes:
            return False
        dropped: list[Encoded] = []
        control: list[_Share] = []
        queue = self._queue
        while len(dropped) < (waiting + 3) // 4:
            share = queue.popleft()
            if share.dropped:
                share.dropped -= 1
            elif share.deliveries is None:
                control.append(share)
            else:
                item = share.items.popleft()
                share.bytes -= item.size
                share.deliveries.dropped += 1
                dropped.append(item)
        queue.extendleft(control)  # all alike
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

    def _drop(self, share: _Share, most: int, room: int) -> int:
        """Drop the oldest of ``share`` until there are at most ``most``, of ``room`` bytes; but never the last one."""
        items, queue = share.items, self._queue
        dropped: list[Encoded] = []
        size = 0
        while len(items) > 1 and (len(items) > most or share.bytes - size > room):
            item = items.popleft()
            size += item.size
            dropped.append(item)
            if queue[0] is share:  # any place of its is as good as another
                queue.popleft()
            else:
                share.dropped += 1
        share.bytes -= size
        kept = sum([item.kept_bytes for item in dropped])
        self._count(-len(dropped), -size, -kept, -_released(dropped))
        if len(queue) > 2 * self._live + 64:
            self._compact()
        return len(dropped)

    def _compact(self) -> None:
        """Forget the places of what was dropped, which lie behind the oldest item."""
        queue: deque[_Share] = deque()
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


def _drops_none(deliveries: Deliveries | None) -> bool:
    return deliveries is not None and deliveries.channel.slow_consumer is SlowConsumer.DISCONNECT


def _released(items: Iterable[Encoded]) -> int:
    """One outbox less keeps each of ``items``, publications; how many bytes nobody keeps any more."""
    freed = 0
    for item in items:
        item.outboxes -= 1
        if not item.outboxes:
            freed += item.kept_bytes
    return freed

"""A session's bounded queue of what its socket could not take yet.

One queue keeps the order of everything the session gets. Its unit is one publication with all its messages. Each
channel has limits of its own in it, and when a channel is over them the oldest of that channel are dropped
(``drop_oldest``). Control items (acks, CONNECT and their like) are never dropped; a session that lets them pile up
is not reading at all, and is told so by ``Overflow``.
"""

from __future__ import annotations

from collections import deque

from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.publication import Batch, Encoded

MAX_CONTROL_ITEMS = 65_536
MAX_CONTROL_BYTES = 16 * 1024 * 1024


class Overflow(Exception):
    """More control items wait than any reading client leaves."""


class OutboxTotals:
    """What waits in all outboxes of a process, for the gauges."""

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0


class _Entry:
    __slots__ = ("item", "share")

    def __init__(self, item: Encoded, share: _Share) -> None:
        self.item: Encoded | None = item
        self.share = share


class _Share:
    """One channel's part of the queue (None: the control items'): its entries in order and their bytes."""

    __slots__ = ("bytes", "deliveries", "entries")

    def __init__(self, deliveries: Deliveries | None) -> None:
        self.deliveries = deliveries
        self.entries: deque[_Entry] = deque()
        self.bytes = 0


class Outbox:
    """See the module. All methods are synchronous; sizes are bytes of messages without framing."""

    def __init__(self, totals: OutboxTotals) -> None:
        self._totals = totals
        self._queue: deque[_Entry] = deque()
        self._live = 0
        self._control = _Share(None)
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        return self._live

    def put(self, batch: Batch, item: Encoded, transport_bytes: int = 0) -> int:
        """Queue a publication of ``batch``; returns how many of its channel were dropped for it.

        ``transport_bytes`` is what the transport's own buffer holds: it counts towards the channel's limit of bytes.
        The newest publication always stays, so a limit below one publication still lets the last one through.
        """
        deliveries = batch.deliveries
        channel = deliveries.channel
        share = self._shares.get(channel.name)
        if share is None:
            share = self._shares[channel.name] = _Share(deliveries)
        self._append(share, item)
        dropped = 0
        room = channel.outbox_bytes - transport_bytes
        while len(share.entries) > 1 and (len(share.entries) > channel.outbox_messages or share.bytes > room):
            self._drop(share)  # SlowConsumer.DROP_OLDEST; other policies part here, by channel or by ``batch.name``
            dropped += 1
        deliveries.dropped += dropped
        if dropped and len(self._queue) > 2 * self._live + 64:
            self._queue = deque(entry for entry in self._queue if entry.item is not None)
        return dropped

    def put_control(self, item: Encoded) -> None:
        """Queue an item that is never dropped; raises Overflow when too many wait."""
        share = self._control
        if len(share.entries) >= MAX_CONTROL_ITEMS or share.bytes + item.size > MAX_CONTROL_BYTES:
            raise Overflow
        self._append(share, item)

    def take(self, max_messages: int, max_bytes: int) -> list[Encoded]:
        """The oldest items, in order, out of the queue; publications count as delivered.

        At most ``max_messages`` messages (not items) and ``max_bytes``, but at least one item when there is one.
        """
        taken: list[Encoded] = []
        messages = size = 0
        queue = self._queue
        while queue:
            item = queue[0].item
            if item is None:
                queue.popleft()
                continue
            messages += len(item.messages)
            size += item.size
            if taken and (messages > max_messages or size > max_bytes):
                break
            share = queue.popleft().share
            share.entries.popleft()
            share.bytes -= item.size
            self._count(-1, -item.size)
            taken.append(item)
            if share.deliveries is not None:
                share.deliveries.messages += 1
                share.deliveries.bytes += item.size
        return taken

    def clear(self) -> None:
        """Forget everything: the session is gone."""
        self._totals.messages -= self._live
        self._totals.bytes -= self._control.bytes + sum(share.bytes for share in self._shares.values())
        self._queue.clear()
        self._shares.clear()
        self._control = _Share(None)
        self._live = 0

    def _append(self, share: _Share, item: Encoded) -> None:
        entry = _Entry(item, share)
        self._queue.append(entry)
        share.entries.append(entry)
        share.bytes += item.size
        self._count(1, item.size)

    def _drop(self, share: _Share) -> None:
        entry = share.entries.popleft()
        assert entry.item is not None
        share.bytes -= entry.item.size
        self._count(-1, -entry.item.size)
        entry.item = None

    def _count(self, messages: int, size: int) -> None:
        self._live += messages
        self._totals.messages += messages
        self._totals.bytes += size

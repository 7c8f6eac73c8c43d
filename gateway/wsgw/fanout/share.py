"""One channel's part of an outbox: what waits of it, in order, and what was dropped of it that is still to be told."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from wsgw.channels.channel import SlowConsumer
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.publication import Encoded

#: Names of a pattern of which it is told by themselves how many were dropped; of more it is told as of the pattern.
MAX_UNTOLD_NAMES = 1024


class Newest:
    """Of each origin (a name and a subject) the newest publication, in the order in which these came."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: OrderedDict[tuple[str, str], Encoded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Encoded]:
        return iter(self._items.values())

    def __getitem__(self, index: int) -> Encoded:
        """The oldest one: ``index`` is 0."""
        return next(iter(self._items.values()))

    def popleft(self) -> Encoded:
        """The oldest one, out of it."""
        return self._items.popitem(last=False)[1]

    def replace(self, item: Encoded) -> Encoded | None:
        """``item`` is the newest of its origin; the one that was, out of it."""
        # one that was encoded before the configuration was read again may have none: it is its own
        origin = getattr(item, "origin", ("", f"{id(item)}"))
        replaced = self._items.pop(origin, None)
        self._items[origin] = item
        return replaced


class Share:
    """Its ``items`` in order and their ``bytes``; ``deliveries`` is None for that of the control items.

    ``dropped`` is how many of its places in the outbox' queue, the first ones, stand for items that were dropped since.
    ``bytes`` are those of messages, for control items with their overhead.
    """

    __slots__ = ("bytes", "deliveries", "dropped", "items", "untold")

    def __init__(self, deliveries: Deliveries | None) -> None:
        self.deliveries = deliveries
        self.items: deque[Encoded] | Newest = deque()
        self.bytes = 0
        self.dropped = 0
        #: how many were dropped of which the client was not told, by the names that it subscribed to
        self.untold: dict[str, int] | None = None
        if deliveries is not None and deliveries.channel.slow_consumer is SlowConsumer.LATEST:
            self.items = Newest()

    @property
    def drops_none(self) -> bool:
        """Whether its client is to be disconnected where more waits than may."""
        deliveries = self.deliveries
        return deliveries is not None and deliveries.channel.slow_consumer is SlowConsumer.DISCONNECT

    def lost(self, items: Sequence[Encoded]) -> None:
        """``items``, publications, were dropped: it is counted, and kept to be told."""
        deliveries = self.deliveries
        assert deliveries is not None
        deliveries.dropped += len(items)
        if self.untold is None:
            self.untold = {}
        channel = deliveries.channel.name
        if not deliveries.channel.is_pattern:
            self.untold[channel] = self.untold.get(channel, 0) + len(items)
            return
        for item in items:
            name = getattr(item, "origin", (channel, ""))[0]
            if name not in self.untold and len(self.untold) >= MAX_UNTOLD_NAMES:
                name = channel  # who reads nothing can leave names, and subscribe to others, for ever
            self.untold[name] = self.untold.get(name, 0) + 1

"""The names of a channel in which NATS has no interest of ours though clients do: they are told when it has again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from wsgw.broker.broker import Broker
from wsgw.fanout.gap import Gap
from wsgw.fanout.hub import Hub


class Lost:
    """``names`` are lost now, each with its gap, or whether it is ``alone`` so; to be read only."""

    __slots__ = ("_broker", "_hub", "names")

    def __init__(self, hub: Hub, broker: Broker) -> None:
        self._hub = hub
        self._broker = broker
        self.names: dict[str, bool | Gap] = {}

    def add(self, names: Iterable[str], *, alone: bool) -> None:
        """Interest in ``names`` is lost, or cannot be had; ``alone``: while the connection to NATS stays."""
        self.names.update(dict.fromkeys(names, alone))

    def add_new(self, names: Iterable[str]) -> None:
        """Nobody had interest in ``names`` before, and the connection is there: who comes later misses nothing."""
        names = frozenset(names)
        self.names.update(dict.fromkeys(names, self._hub.new_gap(names)))

    async def settle(self) -> None:
        """Returns when clients have what came before: to be awaited before the interest is taken again."""
        if self.names:
            settled = asyncio.Event()
            if not self._hub.when_idle(settled.set):
                await settled.wait()

    def tell(self, still: Collection[str] = ()) -> None:
        """It is back, and so its clients are told before anything else is published; but for what is lost ``still``.

        Clients that lost other channels, too, with the connection, are told of all at once.
        """
        hub = self._hub
        back = {name: alone for name, alone in self.names.items() if name not in still}
        apart = frozenset([name for name, how in back.items() if how is True])
        alone = hub.new_gap(apart) if apart else None
        for name, how in back.items():
            gap = how if isinstance(how, Gap) else alone if how else hub.outage(self._broker.connects)
            assert gap is not None
            hub.gap(name, gap)
            del self.names[name]

    def forget(self, names: Iterable[str]) -> None:
        """They are not this channel's any more."""
        for name in names:
            self.names.pop(name, None)

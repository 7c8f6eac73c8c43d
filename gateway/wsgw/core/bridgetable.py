"""The bridges of a gateway: one for each channel that delivers, or that a stream holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from wsgw.bridges.base import Bridge, BridgeState
from wsgw.channels.changes import Changes
from wsgw.channels.channel import Channel
from wsgw.tasks import fault_of

log = logging.getLogger("wsgw.gateway")


class BridgeTable:
    """Those of ``channels``, by name; ``make`` makes one, not started."""

    def __init__(self, make: Callable[[Channel], Bridge], channels: Iterable[Channel]) -> None:
        self._make = make
        self._bridges = {channel.name: make(channel) for channel in channels if _is_bridged(channel)}
        self._new: set[Bridge] = set()  # they came since the start, and were never subscribed
        self._ending: set[asyncio.Task[None]] = set()

    def of(self, channel: Channel) -> Bridge:
        """That of a channel that delivers."""
        return self._bridges[channel.name]

    def start(self) -> None:
        """Start all."""
        for bridge in self._bridges.values():
            bridge.start()

    async def stop(self) -> None:
        """Stop all, and wait for those that end already."""
        for bridge in self._bridges.values():
            await bridge.stop()
        if self._ending:
            await asyncio.wait(self._ending)

    @property
    def subscribed(self) -> bool:
        """Whether all are; but for what came since the start, which must not shut clients of other channels out."""
        self._new = {bridge for bridge in self._new if bridge.state is not BridgeState.SUBSCRIBED}
        return all(bridge.state is BridgeState.SUBSCRIBED or bridge in self._new for bridge in self._bridges.values())

    def missing(self) -> dict[str, str]:
        """Those that are not subscribed, and why, by channel."""
        return {
            name: f"{bridge.state}: {bridge.reason}"
            for name, bridge in self._bridges.items()
            if bridge.state is not BridgeState.SUBSCRIBED
        }

    # -- other channels

    def replace(self, changes: Changes) -> tuple[list[Bridge], list[Bridge]]:
        """Have bridges as ``changes`` say; returns those that are to ``end``, and those that are to ``begin``."""
        ending = [
            self._bridges.pop(channel.name)
            for channel in (*changes.removed, *changes.restarted)
            if channel.name in self._bridges
        ]
        for channel in changes.adjusted:
            if channel.name in self._bridges:
                self._bridges[channel.name].change(channel)
        beginning = []
        for channel in (*changes.restarted, *changes.added):
            if _is_bridged(channel):
                self._bridges[channel.name] = bridge = self._make(channel)
                beginning.append(bridge)
        self._new.difference_update(ending)
        self._new.update(beginning)
        return ending, beginning

    async def end(self, bridges: Collection[Bridge]) -> None:
        """Returns when none of ``bridges`` brings anything any more; goes on where this is cancelled."""
        loop = asyncio.get_running_loop()
        tasks = {loop.create_task(bridge.retire(), name=f"the end of {bridge.channel.name}") for bridge in bridges}
        self._ending |= tasks
        for task in tasks:
            task.add_done_callback(self._ending.discard)
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if (fault := fault_of(task)) is not None:
                log.error("%s: a fault", task.get_name(), exc_info=fault)


def _is_bridged(channel: Channel) -> bool:
    return channel.delivers or channel.durable is not None

"""Other channels for a gateway that runs: those that did not change notice nothing.

1. In one step names lead to the new channels, also for who sends; new bridges are there, which bring nothing yet.
2. The bridges of channels that are no more, or are others now, end: from then on nothing comes by them.
3. Every client is told what it lost, and what there is for it, in turn with others' work. What came before goes first.
4. The new bridges begin. So nobody gets the new under a name before it was told of the change, nor old and new at once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from wsgw.bridges.base import Bridge
from wsgw.channels.changes import Changes, between
from wsgw.channels.channel import Channel
from wsgw.channels.subjects import overlap, specificity
from wsgw.channels.table import ChannelTable
from wsgw.core import series
from wsgw.core.gateway import Gateway
from wsgw.core.house import Reconfigured
from wsgw.shares.slices import one_by_one

log = logging.getLogger("wsgw.gateway")


@dataclass(frozen=True, slots=True)
class _Step:
    """What is to follow the first step: bridges to end and to begin, those that lose names to new channels; the names
    of channels that may be subscribed to since, and by name those that differ from before.
    """

    ending: list[Bridge]
    beginning: list[Bridge]
    robbed: list[Bridge]
    added: list[str]
    differing: dict[str, Channel]


async def reload(gateway: Gateway, channels: Sequence[Channel]) -> Changes:
    """Let ``gateway`` have ``channels``, which are good, instead of those it has; what differed.

    Not to be called again before it returns. Does nothing where the gateway stops.
    """
    table = ChannelTable(channels)
    changes = between(gateway.channels, table)
    if not changes or gateway.drain.begun:
        return Changes()
    step = _replace(gateway, table, changes)
    await gateway.bridges.end(step.ending)
    if changes.added or changes.removed or changes.restarted:
        tell = partial(_tell, gateway, {*step.ending, *step.robbed}, step.added)
        await gateway.edge.slices.work_off(one_by_one(list(gateway.sessions), tell))
    for bridge in step.robbed:
        await bridge.forget_idle()
    gateway.hub.change(step.differing)  # again: who came to live meanwhile did so by the old bridge
    if not gateway.drain.begun:  # else nobody would stop them
        for bridge in step.beginning:
            bridge.start()
    return changes


def _replace(gateway: Gateway, table: ChannelTable, changes: Changes) -> _Step:
    """What is done at once."""
    brought = {channel.name for channel in gateway.channels.inbound()}
    for channel in (*changes.removed, *changes.restarted):
        series.forget(gateway.metrics, channel)
    gateway.channels = table
    gateway.outlets.replace(table)
    ending, beginning = gateway.bridges.replace(changes)
    new = {channel.name: channel for channel in (*changes.added, *changes.restarted)}
    differing = new | {channel.name: channel for channel in changes.adjusted}
    for channel in differing.values():
        series.make_of(gateway.metrics, channel)
    gateway.hub.change(differing)
    for session in gateway.sessions:
        session.look_up_again()
    bringing = [channel for channel in new.values() if channel.delivers]
    patterns = [channel for channel in table.inbound() if channel.is_pattern and channel.name not in new]
    robbed = [
        gateway.bridges.of(pattern)
        for pattern in patterns
        if any(_takes_names(channel, pattern) for channel in bringing)
    ]
    added = [channel.name for channel in bringing if channel.name not in brought]
    return _Step(ending, beginning, robbed, added, differing)


def _tell(gateway: Gateway, doubtful: Collection[Bridge], added: Sequence[str], session: Reconfigured) -> None:
    if session in gateway.sessions and not gateway.drain.begun:  # else it has ended meanwhile, or is told that
        try:
            session.reconfigured(doubtful, added)
        except Exception:  # one client's fault is not another's
            log.exception("telling a client that channels have changed failed")


def _takes_names(new: Channel, pattern: Channel) -> bool:
    """Whether names that clients subscribe to by ``pattern`` belong to ``new``."""
    return overlap(new.name, pattern.name) and specificity(new.name) < specificity(pattern.name)

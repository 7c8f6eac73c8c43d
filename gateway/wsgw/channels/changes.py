"""From the channels that are configured to those of another configuration: what is added, removed, or differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from wsgw.channels.channel import Channel, SlowConsumer

#: Options that are read where they act, whenever they do: a running channel takes their change over. Any other one says
#: what the channel is, so that its change makes another channel of the name.
LIVE = frozenset(
    {"slow_consumer", "outbox_messages", "outbox_bytes", "timeout_seconds", "headers", "on_join_last", "on_gap"}
)
#: Policies of which one may follow the other while publications wait: they wait in the same way.
ALIKE = frozenset({SlowConsumer.DROP_OLDEST, SlowConsumer.DISCONNECT})
#: Names of channels in a sentence; of more it is said how many.
MAX_SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Changes:
    """Channels by what became of them, as they are now; those ``removed`` as they were."""

    added: tuple[Channel, ...] = ()
    removed: tuple[Channel, ...] = ()
    #: other options, no other channel
    adjusted: tuple[Channel, ...] = ()
    #: another channel of an old name
    restarted: tuple[Channel, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.adjusted or self.restarted)

    def __str__(self) -> str:
        """``added a, b; removed c``, or that nothing has changed."""
        parts = []
        for name in ("added", "removed", "adjusted", "restarted"):
            channels: tuple[Channel, ...] = getattr(self, name)
            if channels:
                shown = ", ".join(channel.name for channel in channels[:MAX_SHOWN_NAMES])
                more = len(channels) - MAX_SHOWN_NAMES
                parts.append(f"{name} {shown}{f' and {more} more' if more > 0 else ''}")
        return "; ".join(parts) or "no channel has changed"


def between(before: Iterable[Channel], after: Iterable[Channel]) -> Changes:
    """What leads from the channels ``before`` to those ``after``, each with names of their own; order is no change."""
    old = {channel.name: channel for channel in before}
    new = {channel.name: channel for channel in after}
    changed = [channel for name, channel in new.items() if name in old and old[name] != channel]
    return Changes(
        added=tuple(channel for name, channel in new.items() if name not in old),
        removed=tuple(channel for name, channel in old.items() if name not in new),
        adjusted=tuple(channel for channel in changed if _is_live(old[channel.name], channel)),
        restarted=tuple(channel for channel in changed if not _is_live(old[channel.name], channel)),
    )


def _is_live(old: Channel, new: Channel) -> bool:
    differing = {field.name for field in fields(Channel) if getattr(old, field.name) != getattr(new, field.name)}
    return differing <= LIVE and ("slow_consumer" not in differing or {old.slow_consumer, new.slow_consumer} <= ALIKE)

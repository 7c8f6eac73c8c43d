"""Other channels for a gateway in this process, as a file that is read again has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.running import CHANNELS
from wsgw.channels.changes import Changes
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.core.gateway import Gateway
from wsgw.core.reload import reload


def channels_but(
    changes: Mapping[str, Mapping[str, Any] | None], channels: Sequence[Mapping[str, Any]] = CHANNELS
) -> list[dict[str, Any]]:
    """``channels`` with ``changes`` by name: other keys, None for a channel that is not there, or one more."""
    left = dict(changes)
    found = []
    for channel in channels:
        other = left.pop(channel["name"], {})
        if other is not None:
            found.append({**channel, **other})
    return found + [{"name": name, **keys} for name, keys in left.items() if keys is not None]


async def reload_to(gateway: Gateway, channels: Sequence[Mapping[str, Any]]) -> Changes:
    """Let ``gateway`` have ``channels``."""
    settings = load({}, {}, ConfigFile("test", {"channels": list(channels)}))
    return await reload(gateway, settings.channel_table())

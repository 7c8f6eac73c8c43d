"""From the settings of a running process to those of its file read again: what it cannot take over."""

from __future__ import annotations

from pydantic import BaseModel

from wsgw.config.settings import Settings

#: Settings that a running process takes over; ``request_timeout`` is that of channels without one.
LIVE = frozenset({"channels", "request_timeout", "trusted_proxies", "watch", "log"})


def needing_restart(running: Settings, fresh: Settings) -> list[str]:
    """The keys, dotted, whose values differ and that are read at the start only."""
    found: list[str] = []
    for name in Settings.model_fields:
        old, new = getattr(running, name), getattr(fresh, name)
        if name in LIVE or old == new:
            continue
        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            keys = type(old).model_fields
            found += [f"{name}.{key}" for key in keys if getattr(old, key) != getattr(new, key)]
        else:
            found.append(name)
    return found

"""What in settings is no error but may not be meant, or will not work now."""

from __future__ import annotations

from collections.abc import Iterator

from wsgw.channels.table import ChannelTable
from wsgw.config.file import ConfigFile
from wsgw.config.load import dotted
from wsgw.config.natsuser import unused
from wsgw.config.settings import Settings


def hints(settings: Settings, file: ConfigFile | None = None) -> list[str]:
    """Channels that share names, of which the other gets none; weak keys; what NATS is not told, or will not take."""
    found = [*_weak_key(settings, file), *_doubtful_nats(settings, file)]
    numbers = {channel.name: number for number, channel in enumerate(settings.channels)}
    for channel, other, delivering, taking in ChannelTable(settings.channel_table()).hiding():
        who = " and ".join((["subscribes to"] if delivering else []) + (["sends to"] if taking else []))
        place = f"{file.where(('channels', numbers[other.name], 'name'))}: " if file is not None else ""
        found.append(
            f"{place}channels {channel.name!r} and {other.name!r} share names: who {who} one of these uses "
            f"{channel.name!r}, the more specific one, and not {other.name!r}"
        )
    return found


def _doubtful_nats(settings: Settings, file: ConfigFile | None) -> Iterator[str]:
    """What NATS will not take now, or is never shown."""
    nats = settings.nats
    for key, reason in unused(nats):
        yield f"nats.{dotted(key)}: {reason}"  # it may be of the environment
    if nats.names_files:
        from wsgw.config.natssecurity import overdue  # takes long

        for key, reason in overdue(nats):
            place = f"{file.where(('nats', *key))}: " if file is not None else ""
            yield f"{place}nats.{dotted(key)}: {reason}"


def _weak_key(settings: Settings, file: ConfigFile | None) -> list[str]:
    if settings.auth is None or settings.auth.jwt is None:
        return []
    from wsgw.config.keys import BadKeyError, weakness  # takes long

    try:
        weak = weakness(settings.auth.jwt)
    except BadKeyError:  # its file was there a moment ago
        return []
    place = f"{file.where(('auth', 'jwt'))}: " if file is not None else ""
    return [] if weak is None else [f"{place}auth.jwt.{weak}"]

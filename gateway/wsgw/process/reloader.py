"""The configuration of a gateway that runs, read again: at SIGHUP, and when its file changes where it says ``watch``.

The file is read and checked before anything changes, and one that cannot be used changes nothing. Reading, and looking
whether there is something to read, is done in threads: a file system may hang, and many channels take their time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wsgw.config.changes import needing_restart
from wsgw.config.file import Look, look
from wsgw.config.settings import LogSettings, Settings
from wsgw.core.gateway import Gateway
from wsgw.core.reload import reload
from wsgw.errors import ConfigError
from wsgw.process.watch import Watch
from wsgw.tasks import NoThread, end, in_thread

if TYPE_CHECKING:
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings come from: the file's ``path``, and what was ``seen`` before it was read at the start.

    ``read()`` gives the settings as a start would have them now, and what is to be said of them; it raises ConfigError,
    and is called in threads, one at a time. ``set_log`` takes the settings of the log over.
    """

    path: str
    seen: Look | None
    read: Callable[[], tuple[Settings, list[str]]]
    set_log: Callable[[LogSettings], None]


class Reloader:
    """``settings`` are those of the start; without a ``source`` nothing can be read again. ``stop`` it."""

    def __init__(self, settings: Settings, source: Source | None) -> None:
        self._source = source
        self._settings = settings
        self._watch: Watch[Look | None] | None = None
        if source is not None:
            self._watch = Watch(source.seen, partial(look, source.path), "looking at the configuration")
            self._watch.looks = settings.watch
        self._task: asyncio.Task[None] | None = None
        #: read again at SIGHUP, too
        self.certificates: Certificates | None = None

    def request(self) -> None:
        """SIGHUP came. One that comes while the file is being read has it read once more."""
        if self.certificates is not None:
            self.certificates.request()
        if self._source is None and self.certificates is None:
            log.warning("SIGHUP: there is no configuration file to read again; nothing changes")
        elif self._watch is not None:
            self._watch.request()

    def start(self, gateway: Gateway) -> None:
        """From now on ``gateway`` is told; needs its loop."""
        if self._source is not None and self._watch is not None:
            running = self._run(self._source, self._watch, gateway)
            self._task = asyncio.get_running_loop().create_task(running, name="reading the configuration again")

    async def stop(self) -> None:
        """Read nothing any more."""
        if self._task is not None:
            await end(self._task)

    # -- inside

    async def _run(self, source: Source, watch: Watch[Look | None], gateway: Gateway) -> None:
        while True:
            await watch.due()
            try:
                await self._reload(source, watch, gateway)
            except ConfigError as error:
                gateway.configuration_failed()
                for line in str(error).splitlines():
                    log.error("configuration not reloaded: %s", line)
            except NoThread as error:
                gateway.configuration_failed()
                log.error("configuration not reloaded until there is a thread for it: %s", error)
                await watch.later()
            except Exception:  # whatever it is, the gateway goes on
                gateway.configuration_failed()
                log.exception("configuration not reloaded: a fault")

    async def _reload(self, source: Source, watch: Watch[Look | None], gateway: Gateway) -> None:
        """Raises ConfigError and NoThread, and nothing has changed."""
        seen, found = await in_thread(partial(_read, source), "reading the configuration")
        watch.read(seen)
        if isinstance(found, ConfigError):
            raise found
        settings, notes = found
        channels = settings.channel_table()
        if gateway.drain.begun:
            log.info("configuration not reloaded: the gateway is stopping")
            return
        source.set_log(settings.log)
        watch.looks = settings.watch
        gateway.edge.proxies.replace(settings.trusted_proxies)
        changes = await reload(gateway, channels)
        gateway.configured(again=True)
        log.info("configuration read again: %s", changes)
        for note in notes:
            log.warning("%s", note)
        left = needing_restart(self._settings, settings)
        if left:
            log.warning("configuration read again: as before until a restart: %s", ", ".join(left))


def _read(source: Source) -> tuple[Look | None, tuple[Settings, list[str]] | ConfigError]:
    """What was seen before it was read, and what was read, or why it cannot be used."""
    seen = look(source.path)
    try:
        found = source.read()
    except ConfigError as error:
        return seen, error.with_traceback(None)
    if seen is not None and not seen.size_bytes:  # no channel at all is not what anybody wants of a running gateway
        return seen, ConfigError(f"{source.path}: it is empty")
    if look(source.path) != seen:  # parts of two files, maybe
        return seen, ConfigError(f"{source.path}: it was changed while it was read")
    return seen, found

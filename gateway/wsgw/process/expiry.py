"""Until when certificates are good: in the metrics, and in the log, with a warning a day when one of them ends soon.

Of those that clients see it is the one in use, of those that NATS sees the one in the file: what is shown next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from wsgw.config.natsfiles import BadFileError, TlsFiles
from wsgw.metrics import Metrics
from wsgw.tasks import NoThread, end, in_thread

if TYPE_CHECKING:
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")

#: Between two looks.
LOOK_SECONDS = 60.0
DAY_SECONDS = 86400.0
#: Who renews by a program does it a third of ninety days before the end.
WARN_DAYS = 14


class Expiry:
    """Of ``certificates``, which clients see, and of what ``nats`` names, where there are such. ``clock`` is time's."""

    def __init__(
        self,
        metrics: Metrics,
        certificates: Certificates | None,
        nats: TlsFiles | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gauge = metrics.certificate_expires_timestamp_seconds
        self._certificates = certificates
        self._nats = nats if nats is not None and nats.certificate_file is not None else None
        self._clock = clock
        self._warned: dict[str, tuple[datetime, float]] = {}  # by key: of which end, and when
        self._task: asyncio.Task[None] | None = None
        if certificates is not None:
            self._gauge.labels("clients").set_function(lambda: certificates.current.ends.timestamp())

    def start(self) -> None:
        """Look from now on; needs the running loop."""
        if self._certificates is not None or self._nats is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="until when certificates are good")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            await end(self._task)

    # -- inside

    async def _run(self) -> None:
        while True:
            if self._certificates is not None:
                self._seen("tls.certificate_file", self._certificates.current.ends)
            if self._nats is not None:
                await self._look(self._nats)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, files: TlsFiles) -> None:
        try:
            ends = await in_thread(partial(_ends_of, files), "looking until when NATS' certificate is good")
        except (BadFileError, NoThread):
            return  # the next connection says what is wrong with it; until then it is as it was
        self._gauge.labels("nats").set(ends.timestamp())
        self._seen("nats.tls.certificate_file", ends)

    def _seen(self, key: str, ends: datetime) -> None:
        now = self._clock()
        left = ends.timestamp() - now
        warned_of, at = self._warned.get(key, (None, 0.0))
        if left > WARN_DAYS * DAY_SECONDS or (warned_of == ends and now - at < DAY_SECONDS):
            return
        self._warned[key] = ends, now
        when = f"{ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if left <= 0:
            log.warning("%s: the certificate has expired on %s; it has to be renewed", key, when)
        else:
            log.warning("%s: the certificate expires in %d days, on %s", key, left // DAY_SECONDS, when)


def _ends_of(files: TlsFiles) -> datetime:
    from wsgw.config.natstls import ends_of  # what it needs takes long

    return ends_of(files)

"""Until when certificates are good, and a user's JWT: in the metrics; and in the log, with a warning in time.

Of what clients see it is the one in use, of what NATS sees the one in the file: what is shown next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from wsgw.config.natsfiles import BadFileError
from wsgw.config.term import Term
from wsgw.metrics import Metrics
from wsgw.tasks import NoThread, end, in_thread

if TYPE_CHECKING:
    from wsgw.config.nats import NatsSettings
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")

#: Between two looks.
LOOK_SECONDS = 60.0
#: Between two warnings of the same.
DAY_SECONDS = 86400.0
#: Who renews by a program does it a third of ninety days before the end; what lives for less is warned of when so much
#: of its life is left.
WARN_DAYS = 14
WARN_PART = 1 / 4


class Expiry:
    """Of ``certificates``, which clients see, and of what ``nats`` names, where there are such. ``clock`` is time's."""

    def __init__(
        self,
        metrics: Metrics,
        certificates: Certificates | None,
        nats: NatsSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gauge = metrics.certificate_expires_timestamp_seconds
        self._certificates = certificates
        self._files: list[tuple[str, str, Callable[[], Term]]] = []  # label, what it is, and how it is read
        if nats.tls is not None and nats.tls.certificate_file is not None:
            read = partial(_term_of_certificate, nats.tls.certificate_file)
            self._files.append(("nats", "nats.tls.certificate_file: the certificate", read))
        if nats.credentials_file is not None:
            read = partial(_term_of_jwt, nats.credentials_file)
            self._files.append(("nats_user", "nats.credentials_file: the JWT", read))
        self._clock = clock
        self._warned: dict[str, tuple[tuple[datetime, bool], float]] = {}  # by what it is: of which end, and when
        self._tasks: list[asyncio.Task[None]] = []
        if certificates is not None:
            self._gauge.labels("clients").set_function(lambda: certificates.current.ends.timestamp())

    def start(self) -> None:
        """Look from now on; needs the running loop."""
        runs = [] if self._certificates is None else [self._look_at_clients(self._certificates)]
        runs += [self._look_at_file(*each) for each in self._files]  # each by itself: its disk may not answer
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(each, name="until when certificates are good") for each in runs]

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            await end(task)

    # -- inside

    async def _look_at_clients(self, certificates: Certificates) -> None:
        while True:
            current = certificates.current
            self._seen("tls.certificate_file: the certificate", current.begins, current.ends)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at_file(self, label: str, what: str, read: Callable[[], Term]) -> None:
        while True:
            await self._look(label, what, read)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, label: str, what: str, read: Callable[[], Term]) -> None:
        try:
            term = await in_thread(read, "looking until when NATS' files are good")
        except (BadFileError, NoThread):
            return  # the next connection says what is wrong with it; until then it is as it was
        if term.ends is None:
            self._gauge.remove(label)
        else:
            self._gauge.labels(label).set(term.ends.timestamp())
            self._seen(what, term.begins, term.ends)

    def _seen(self, what: str, begins: datetime | None, ends: datetime) -> None:
        now = self._clock()
        left = ends.timestamp() - now
        life = float("inf") if begins is None else (ends - begins).total_seconds()
        of, at = self._warned.get(what, (None, 0.0))
        if left > min(WARN_DAYS * DAY_SECONDS, life * WARN_PART) or (
            of == (ends, left <= 0) and now - at < DAY_SECONDS
        ):
            return
        self._warned[what] = (ends, left <= 0), now
        when = f"{ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if left <= 0:
            log.warning("%s has expired on %s; it has to be renewed", what, when)
        else:
            log.warning("%s expires in %s, on %s", what, _shown(left), when)


def _shown(seconds: float) -> str:
    days, hours = seconds / DAY_SECONDS, seconds / 3600
    return f"{int(days)} days" if days >= 2 else f"{int(hours)} hours" if hours >= 2 else f"{int(seconds / 60)} minutes"


def _term_of_certificate(path: str) -> Term:
    from wsgw.config.natstls import term_of  # what it needs takes long

    return term_of(path)


def _term_of_jwt(path: str) -> Term:
    from wsgw.config.natsidentity import of_credentials  # what it needs takes long

    return of_credentials(path).term

"""The sending half of a session whose client may have to fetch what waits."""

from __future__ import annotations

from collections.abc import Callable

from wsgw.metrics import Metrics
from wsgw.outbox import OutboxTotals
from wsgw.publication import Batch, Encoded
from wsgw.sender import Sender


class PollableSender(Sender):
    """A sender that tells when something was queued, so that a poll can fetch it."""

    __slots__ = ("on_queued",)

    def __init__(self, metrics: Metrics, totals: OutboxTotals) -> None:
        super().__init__(metrics, totals, "socketio")
        self.on_queued: Callable[[], None] | None = None

    def offer(self, batch: Batch) -> bool:
        """See ``Sender.offer``."""
        written = super().offer(batch)
        if self.on_queued is not None:
            self.on_queued()
        return written

    def send(self, item: Encoded) -> None:
        """See ``Sender.send``."""
        super().send(item)
        if self.on_queued is not None:
            self.on_queued()

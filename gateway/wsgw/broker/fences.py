"""Which publishes and subscriptions are proven by which fence. Sans-I/O.

A fence is an empty message that the gateway publishes to its own inbox behind a batch of publishes. NATS handles
one connection's protocol lines in order, so the fence's return proves that the batch was processed, and an error
about one of the batch arrives before it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import FORBIDDEN, UNCONFIRMED, GatewayError

log = logging.getLogger("wsgw.nats")

#: Told once per call of publish: None when NATS processed it all, else why it is not known to have.
Outcome = Callable[[GatewayError | None], None]


class _Sealed:
    """What one fence proves: its publishes, their size in bytes, and what NATS refused while it was the oldest out.

    ``subscriptions`` are those that NATS was asked for, without those it had no room for.
    """

    __slots__ = ("denied", "id", "publishes", "sent_at", "size", "subscriptions")

    def __init__(self, id: int) -> None:
        self.id = id
        self.publishes: list[tuple[str, int, Outcome]] = []
        self.subscriptions: list[NatsSubscription] = []
        self.denied: dict[str, str] = {}
        self.size = 0
        self.sent_at = 0.0


class Fences:
    """What one connection asked of NATS that is not confirmed yet: ``messages`` and ``bytes`` of publishes."""

    def __init__(self) -> None:
        self._open = _Sealed(1)
        self._sealed: deque[_Sealed] = deque()
        self.messages = 0
        self.bytes = 0
        #: what NATS refused since a fence came back last; to be counted by the caller
        self.refusals = 0

    def add(self, subject: str, count: int, size: int, outcome: Outcome) -> None:
        """``count`` publishes of ``size`` bytes together were handed to the connection; the next fence covers them."""
        self._open.publishes.append((subject, count, outcome))
        self._open.size += size
        self.messages += count
        self.bytes += size

    def subscribed(self, subscriptions: Sequence[NatsSubscription]) -> None:
        """NATS was asked for ``subscriptions``, in this order."""
        self._open.subscriptions += subscriptions

    def seal(self, now: float) -> int:
        """Close the batch: the caller publishes the fence of the returned number next."""
        batch = self._open
        batch.sent_at = now
        self._sealed.append(batch)
        self._open = _Sealed(batch.id + 1)
        return batch.id

    def returned(self, number: int) -> None:
        """The fence ``number`` came back: settle it and all before it. Unknown numbers are ignored."""
        while self._sealed and self._sealed[0].id <= number:
            batch = self._sealed.popleft()
            self._forget(batch)
            self.refusals = 0
            doubtful = batch.denied and batch.denied.keys() - {subject for subject, _, _ in batch.publishes}
            for subject, count, outcome in batch.publishes:
                error = None
                if subject in batch.denied:
                    error = GatewayError(FORBIDDEN, f"NATS refuses {subject!r}: {batch.denied[subject]}")
                elif doubtful and count:
                    error = GatewayError(UNCONFIRMED, f"NATS refused something else: {batch.denied[min(doubtful)]}")
                _tell(outcome, error)

    def denied(self, subject: str, said: str) -> None:
        """NATS refused publishes to ``subject``, in the words ``said``.

        They are in the oldest batch that is out: the fence before it would not have returned yet, its own would have.
        If none of it is to ``subject``, all of it is in doubt (unconfirmed).
        """
        batch = self._sealed[0] if self._sealed else self._open
        if len(batch.denied) <= len(batch.publishes):  # else there is doubt already: a server that makes subjects up
            batch.denied[subject] = said

    def overflowed(self) -> NatsSubscription | None:
        """NATS had no room for one more subscription: which it was, None where it was none of these.

        Of the oldest batch that is out, as above. NATS says it once for each, and what is asked for ends nothing that
        is there, nor does anything end in the midst of a batch, so where one had no room the later ones had none
        either: the last ones, whatever order they are named in.
        """
        batch = self._sealed[0] if self._sealed else self._open
        return batch.subscriptions.pop() if batch.subscriptions else None

    def fail(self, error: GatewayError) -> None:
        """The connection is lost: every publish not confirmed gets ``error``."""
        batches = [*self._sealed, self._open]
        self._sealed.clear()
        self._open = _Sealed(self._open.id + 1)
        for batch in batches:
            self._forget(batch)
            for _, _, outcome in batch.publishes:
                _tell(outcome, error)

    def oldest_sent_at(self) -> float | None:
        """When the oldest fence still out was sent, in the caller's clock; None when none is out."""
        return self._sealed[0].sent_at if self._sealed else None

    def _forget(self, batch: _Sealed) -> None:
        self.messages -= sum([count for _, count, _ in batch.publishes])
        self.bytes -= batch.size


def _tell(outcome: Outcome, error: GatewayError | None) -> None:
    try:
        outcome(error)
    except Exception:  # one client's fault is not another's
        log.exception("telling the outcome of a publish failed")

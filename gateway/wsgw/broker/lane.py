"""The messages on their way to one stream: on the wire as many as its window takes, the others queued. Sans-I/O."""

from __future__ import annotations

import logging
from collections import deque

from wsgw.backoff import Backoff
from wsgw.broker.puback import Receipt, Stored, StoredOutcome
from wsgw.channels.durable import Durable

log = logging.getLogger("wsgw.nats")

#: On the wire to one stream at most. It keeps the stream busy over 10 ms of way and storing, and stays far below the
#: 10,000 at which JetStream begins to throw messages away.
WINDOW_MESSAGES = 1000
WINDOW_BYTES = 8 * 1024 * 1024
#: A message that has no answer is sent again after so long, then after twice as long: a leader may have died with it.
PATIENCE_SECONDS = 1.0
#: What was refused for now is sent again after the first, doubled up to the second.
BACKOFF_SECONDS = (0.1, 1.0)


class Call:
    """The messages that were published together: their ``receipts`` are told when all are there."""

    __slots__ = ("_left", "_outcome", "_receipts")

    def __init__(self, count: int, outcome: StoredOutcome) -> None:
        self._receipts: list[Receipt] = [Stored(0)] * count
        self._left = count
        self._outcome = outcome

    def tell(self, index: int, receipt: Receipt) -> None:
        """What became of one of them; once each."""
        self._receipts[index] = receipt
        self._left -= 1
        if not self._left:
            try:
                self._outcome(self._receipts)
            except Exception:  # one client's fault is not another's
                log.exception("telling what became of messages for a stream failed")


class Message:
    """One message: ``id`` is its Nats-Msg-Id, ``lines`` its other headers, ``token`` that of the subject on which it is
    answered.

    ``repeat_at`` is when it is sent again unless an answer comes; ``unanswered`` how often it was sent and nothing was
    heard of it; ``said`` why it was not stored so far; ``size`` what it counts as in windows and limits.
    """

    __slots__ = (
        "call",
        "deadline",
        "id",
        "index",
        "lane",
        "lines",
        "patience_seconds",
        "payload",
        "repeat_at",
        "said",
        "size",
        "subject",
        "token",
        "unanswered",
    )

    def __init__(
        self,
        lane: Lane,
        subject: str,
        payload: bytes,
        token: str,
        id: str,
        deadline: float,
        call: Call,
        index: int,
        lines: bytes = b"",
    ) -> None:
        self.lane = lane
        self.subject = subject
        self.payload = payload
        self.size = len(payload)
        self.token = token
        self.id = id
        self.lines = lines
        self.deadline = deadline
        self.call = call
        self.index = index
        self.patience_seconds = PATIENCE_SECONDS
        self.repeat_at = 0.0
        self.unanswered = 0
        self.said = ""


class Lane:
    """Of one stream. Times are in the caller's clock."""

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self.queue: deque[Message] = deque()
        self._messages = 0  # in the window
        self._bytes = 0
        self._backoff = Backoff(*BACKOFF_SECONDS)
        #: nothing is sent before
        self.closed_until = 0.0

    def take(self) -> list[Message]:
        """What there is room for, which is on the wire from now on; not asked for while it is closed."""
        taken = []
        while self.queue and self._messages < WINDOW_MESSAGES:
            size = self.queue[0].size
            if self._messages and self._bytes + size > WINDOW_BYTES:
                break
            taken.append(self.queue.popleft())
            self._messages += 1
            self._bytes += size
        return taken

    def left(self, message: Message, *, stored: bool) -> None:
        """``message`` is not on the wire any more."""
        self._messages -= 1
        self._bytes -= message.size
        if stored:
            self._backoff.reset()

    def refused(self, message: Message, said: str, now: float) -> None:
        """The stream does not take ``message`` now: it is sent again later, and all others behind it."""
        if self.closed_until <= now:
            self.closed_until = now + self._backoff.next()
        message.unanswered -= 1
        message.said = said
        message.repeat_at = self.closed_until

"""A client's way in a durable channel: from where it stands in the stream, at its own pace, to live.

While it is behind what is kept here (``History``) it gets pages of the stream, then what is kept; where that is empty
it is subscribed at the hub, in the same step: nothing is missed, doubled or out of order. Nothing is buffered for it
beyond what its connection takes, and nobody waits: what can go on goes on in turn with others (``Slices``).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from wsgw.backoff import Backoff
from wsgw.bridges.pages import Page
from wsgw.bridges.place import Coming, Place
from wsgw.bridges.portion import Portion
from wsgw.channels.channel import Channel
from wsgw.channels.position import mark
from wsgw.channels.start import NOW, Start
from wsgw.channels.subjects import is_pattern, matches
from wsgw.channels.template import name_in
from wsgw.fanout.history import History
from wsgw.fanout.hub import Hub
from wsgw.fanout.publication import StreamPublication
from wsgw.fanout.replays import BLOCK, first_of_block
from wsgw.fanout.sender import Sender
from wsgw.shares.memory import Memory
from wsgw.shares.slices import Slices

#: Publications that a client is given at a time, of one block.
CHUNK = BLOCK
#: How long a client waits for this gateway to come to where it has been already, at another one, before the stream is
#: asked whether it goes so far.
AHEAD_SECONDS = 5.0
RETRY_SECONDS = (0.1, 5.0)


class Source(Protocol):
    """The durable channel, as its followers see it."""

    channel: Channel
    hub: Hub
    memory: Memory
    slices: Slices
    #: None until the stream was looked at for the first time
    history: History | None

    #: every sequence of its stream is a message of the channel, unless it was deleted
    whole: bool

    def identity_of(self, subject: str) -> str:
        """Of the history, for who gets ``subject``: see ``Parts``."""

    def read(self, subject: str, after: int, *, anew: bool) -> asyncio.Future[Page]:
        """See ``Pages.read``."""

    def find_since(self, subject: str, stored_at_ns: int) -> asyncio.Future[int]:
        """See ``Pages.find_since``."""

    def find_last(self) -> asyncio.Future[int]:
        """See ``Pages.find_last``."""

    def recheck(self) -> asyncio.Future[None]:
        """Done when the stream was looked at again: it may be another one by now."""

    def came(self, coming: Coming) -> None:
        """A client came so; to be counted."""

    def forget(self, following: Following) -> None:
        """It has ended."""


class Following:
    """``told`` hears where the client stands before the first publication, and again of a gap that comes later.

    ``begin`` it once the source has its history, ``end`` it once.
    """

    __slots__ = (
        "_ahead_until",
        "_asked",
        "_cursor",
        "_doubted",
        "_due",
        "_ended",
        "_estimated",
        "_live",
        "_placed",
        "_portion",
        "_queued",
        "_rechecked",
        "_retry",
        "_sender",
        "_source",
        "_start",
        "_subject",
        "_timer",
        "_told",
        "_unproven",
        "key",
    )

    def __init__(self, source: Source, key: str, sender: Sender, start: Start, told: Callable[[Place], None]) -> None:
        self._source = source
        self.key = key
        self._subject = source.channel.subject_of(key)
        self._sender = sender
        self._start = start
        self._told: Callable[[Place], None] | None = told
        self._cursor = 0
        self._portion = Portion(source.memory)  # of the stream, still to be sent
        self._asked: asyncio.Future[Any] | None = None  # of the source, while it has not answered
        self._unproven = False  # that nothing is missing behind the cursor
        self._estimated = False  # the cursor: there need not be so many
        self._doubted = False  # messages were deleted somewhere, and it was told
        self._ahead_until = 0.0
        self._rechecked = False  # whether the stream is the one that is known here
        self._retry: Backoff | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._placed = False  # the client was told where it stands
        self._due = False  # to ``begin`` again
        self._queued = False
        self._live = False
        self._ended = False

    def begin(self) -> None:
        """Find where the client stands, and bring it on from there."""
        history = self._source.history
        assert history is not None
        self._due = False
        slices = self._source.slices
        if self._find(history) and (slices.spent() or self._work(slices.until())):
            self._go_on()

    def begin_in_turn(self) -> None:
        """``begin``, in turn with others who waited for the same."""
        self._timer = None
        self._due = True
        self._source.slices.queue(self._begin_if_due)

    def reset(self) -> None:
        """The stream is another one now, or has lost something: go on with all that this one has."""
        history = self._source.history
        assert history is not None
        self._portion.drop()
        self._unproven = self._due = False
        self._stop_waiting()
        if not self._placed and not self._ended and self._asked_for() is not None:
            self.begin()  # it knows this one already, from elsewhere
            return
        if self._live:
            self._source.hub.settle(self.key)
        self._tell(Coming.GAP, history.floor)
        if not self._live:
            self._cursor = history.floor
            self._start = NOW
            self._go_on()

    def missed(self, count: int) -> None:
        """``count`` publications before the next one were deleted before they came here."""
        history = self._source.history
        assert history is not None
        if self._live:
            self._source.hub.settle(self.key)  # else it would be told a position beyond what it has
            self._tell(Coming.GAP, history.last, count if self._is_whole else None)
        else:
            self._doubted = False  # the page that it comes to says so

    def end(self) -> None:
        """The client gets nothing more."""
        if self._ended:
            return
        self._ended = True
        self._told = None
        self._portion.drop()
        self._stop_waiting()
        self._sender.forget(self._go_on)
        if self._live:
            self._source.hub.unsubscribe(self.key, self._sender)
        self._source.forget(self)

    # -- inside

    @property
    def _is_whole(self) -> bool:
        """Every sequence is a message for this client, unless it was deleted."""
        return self._source.whole and self._subject == self._source.channel.subject

    def _asked_for(self) -> int | None:
        """What the client's position says of this stream: for its name, else for the whole channel."""
        after = self._start.after
        if after is None:
            return None
        identity = self._source.identity_of(self._subject)
        return after.get(mark(identity, self._source.channel.name, name_in(self.key)), after.get(identity))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    def _tell(self, coming: Coming, sequence: int, missed: int | None = None) -> None:
        self._placed = True
        self._retry = None
        if coming is not Coming.NEW:
            self._source.came(coming)
        if self._told is not None:
            self._told(Place(coming, self._source.identity_of(self._subject), sequence, missed))

    def _find(self, history: History) -> bool:
        """Set the cursor; False where the client has to wait for that."""
        start = self._start
        if start.after is not None:
            return self._find_after(history, self._asked_for())
        if start.last is not None:
            found = history.newest(start.last)
            self._estimated = self._doubted = found is None
            self._cursor = max(0, history.last - start.last) if found is None else found
        elif start.since_seconds is not None:
            return self._find_since(history, start.since_seconds)
        else:
            self._cursor = history.last
        self._tell(Coming.NEW, self._cursor)
        return True

    def _find_after(self, history: History, sequence: int | None) -> bool:
        if sequence is None and self._start.after and not self._rechecked:  # of a stream that others know already?
            self._rechecked = True
            self._asked = self._source.recheck()
            self._asked.add_done_callback(self._was_rechecked)
            return False
        if sequence is None:
            self._cursor = history.last
            self._tell(Coming.GAP, history.last)
        elif sequence > history.last:
            return self._wait_for(history, sequence)
        else:
            self._cursor = sequence
            if sequence >= history.floor:
                self._tell(Coming.RECOVERED, sequence)
            else:
                self._unproven = True
        return True

    def _was_rechecked(self, checking: asyncio.Future[None]) -> None:
        if self._asked is checking and not checking.cancelled():  # else the stream was another one: see reset
            self.begin_in_turn()

    def _wait_for(self, history: History, sequence: int) -> bool:
        """It was further at another gateway, which is before this one; or the stream has lost something."""
        loop = asyncio.get_running_loop()
        if not self._ahead_until:
            self._ahead_until = loop.time() + AHEAD_SECONDS
        if loop.time() < self._ahead_until:
            self._try_later(self.begin_in_turn, self._ahead_until)
            return False
        finding = self._asked = self._source.find_last()
        finding.add_done_callback(partial(self._last_was_found, history, sequence))
        return False

    def _last_was_found(self, history: History, sequence: int, finding: asyncio.Future[int]) -> None:
        if self._ended or finding.cancelled() or self._source.history is not history:
            return
        if finding.exception() is not None or finding.result() >= sequence:
            self._ahead_until = 0.0  # it is this gateway that is behind, or cut off, and what it lacks will come
            self.begin_in_turn()
            return
        self._cursor = history.last
        self._tell(Coming.GAP, history.last)
        self._go_on()

    def _find_since(self, history: History, seconds: float) -> bool:
        stored_at_ns = int(time.time() - seconds) * 1_000_000_000  # whole seconds: many can share what is looked for
        found = history.since(stored_at_ns)
        if found is None:
            finding = self._asked = self._source.find_since(self._subject, stored_at_ns)
            finding.add_done_callback(partial(self._was_found, history))
            return False
        self._cursor = found
        self._tell(Coming.NEW, found)
        return True

    def _was_found(self, history: History, finding: asyncio.Future[int]) -> None:
        if self._ended or finding.cancelled() or self._source.history is not history:
            return
        if finding.exception() is not None:
            self._try_later(self.begin_in_turn)
            return
        self._retry = None
        self._cursor = min(finding.result(), history.last)
        self._tell(Coming.NEW, self._cursor)
        self._go_on()

    def _begin_if_due(self, _: float) -> bool:
        if self._due and not self._ended:
            self.begin()
        return False

    def _go_on(self) -> None:
        if not self._queued and not self._ended and not self._live:
            self._queued = True
            self._source.slices.queue(self._in_turn)

    def _in_turn(self, until: float) -> bool:
        self._queued = False
        if self._ended or self._live:
            return False
        self._queued = self._work(until)
        return self._queued

    def _work(self, until: float) -> bool:
        """Send what there is until then; whether more can be sent at once."""
        source, sender = self._source, self._sender
        history = source.history
        assert history is not None
        while not self._ended and not sender.closed:
            if self._placed and not sender.has_room(self._go_on):  # where it stands is found out all the same
                return False
            if self._portion:
                chunk = first_of_block(self._portion.first(CHUNK), CHUNK)
                self._portion.sent(len(chunk))
            elif self._cursor < history.floor:
                self._read()
                return False
            else:
                chunk = first_of_block(history.after(self._cursor, CHUNK), CHUNK)
                if not chunk:
                    self._live = True
                    self._portion.drop()
                    source.hub.subscribe(source.channel, self.key, sender)
                    return False
            self._cursor = chunk[-1].sequence
            self._send(chunk)
            if time.monotonic() >= until:
                return True
        return False

    def _send(self, chunk: list[StreamPublication]) -> None:
        subject = self._subject
        if subject != self._source.channel.subject:
            if is_pattern(subject):  # claims have filled some of it
                chunk = [publication for publication in chunk if matches(subject, publication.subject)]
            else:
                chunk = [publication for publication in chunk if publication.subject == subject]
        if chunk:
            self._source.hub.deliver(self._source.channel, self.key, self._sender, chunk)

    def _read(self) -> None:
        reading = self._asked = self._source.read(self._subject, self._cursor, anew=not self._unproven)
        reading.add_done_callback(partial(self._was_read, self._cursor))

    def _was_read(self, cursor: int, reading: asyncio.Future[Page]) -> None:
        if self._ended or reading.cancelled() or cursor != self._cursor:
            return  # by a reset
        if reading.exception() is not None:
            self._try_later(self._retried)
            return
        self._retry = None
        self._take(reading.result())
        self._go_on()

    def _try_later(self, again: Callable[[], None], by: float = math.inf) -> None:
        if self._retry is None:
            self._retry = Backoff(*RETRY_SECONDS)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(min(loop.time() + self._retry.next(), by), again)

    def _retried(self) -> None:
        self._timer = None
        self._go_on()

    def _take(self, page: Page) -> None:
        """Go on with ``page``, and say whether something is missing."""
        history = self._source.history
        assert history is not None
        missing = max(0, page.first - 1 - self._cursor)
        self._cursor += missing
        if self._unproven and not missing and not page.deleted:
            self._tell(Coming.RECOVERED, self._cursor)
        elif self._unproven or (missing and not self._estimated) or (page.deleted and not self._doubted):
            known = missing if missing and self._is_whole and not page.deleted else None
            self._tell(Coming.GAP, self._cursor, known)
        self._unproven = self._estimated = False
        self._doubted = page.deleted
        if not self._portion.take(page, self._cursor, history.last):  # nothing between, or all before: others' page
            self._cursor = max(self._cursor, min(page.until, history.floor))

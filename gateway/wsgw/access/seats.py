"""How many connections users and addresses have, how fast they come, and what they send together: counted by name.

Who is authenticated counts by its user, everybody else by address. Until it is known who a client is it counts by its
address; then that is undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wsgw.config.limits import LimitsSettings, QuotaSettings
from wsgw.errors import RATE_LIMITED, TOO_MANY_CONNECTIONS, LimitError
from wsgw.metrics import Metrics, Tally
from wsgw.shares.book import Book, Entry, Quota
from wsgw.shares.bucket import Bucket, Rate

#: What a client is told to wait for that has too many connections: nobody knows when one of them ends.
CONNECTIONS_RETRY_SECONDS = 5.0
#: Those whose limits are counted, and what of.
SCOPES = ("session", "user", "address")
LIMITS = ("connections", "connects", "messages", "bytes")


def quota_of(settings: QuotaSettings, burst_seconds: float) -> Quota:
    """What ``settings`` say."""

    def rate(per_second: float | None) -> Rate | None:
        return None if per_second is None else Rate(per_second, burst_seconds)

    return Quota(
        settings.connections,
        rate(settings.connects_per_second),
        rate(settings.messages_per_second),
        rate(settings.bytes_per_second),
    )


class Seats:
    """Of one process; ``sweep`` it now and then. ``limits`` without any for users, or addresses, cost nothing.

    Nor do those for users where nobody can be one (``has_users``).
    """

    def __init__(
        self,
        limits: LimitsSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        has_users: bool = True,
    ) -> None:
        self.clock = clock
        self._exceeded = Tally(metrics, metrics.limited)
        #: None where there is no limit
        self.users = self._book(quota_of(limits.user, limits.burst)) if has_users else None
        self.addresses = self._book(quota_of(limits.address, limits.burst))
        for scope, book in (("user", self.users), ("address", self.addresses)):
            if book is not None:
                metrics.limited_names.labels(scope).set_function(book.__len__)

    def arrive(self, network: str | None, *, stays: bool = True) -> Seat | None:
        """A client comes from ``network`` that wants to stay, or has a single message; it is not known who it is.

        Who stays counts from now on: its seat is ``enter``ed. None where nothing can be counted of it. Raises
        LimitError: so much comes from there.
        """
        entry = None if self.addresses is None or network is None else self.addresses.find(network)
        if entry is None and self.users is None:
            return None
        bucket = None
        if entry is not None:
            bucket, limit = (entry.connects, "connects") if stays else (entry.messages, "messages")
            if bucket is not None and not bucket.take(1, now := self.clock()):
                raise self.too_fast("address", limit, bucket.wait(now, 1))
        seat = Seat(self, None if entry is None else network, bucket)
        if stays:
            seat.enter()
        return seat

    def sweep(self) -> None:
        """Forget what is not worth to be remembered."""
        for book in (self.users, self.addresses):
            if book is not None:
                book.sweep(self.clock())

    def too_fast(self, scope: str, limit: str, wait_seconds: float) -> LimitError:
        """The error of who comes, or sends, too fast; counted."""
        self._exceeded.add(scope, limit)
        whose = "connection" if scope == "session" else scope
        what = "connections" if limit == "connects" else limit
        return LimitError(RATE_LIMITED, f"this {whose} has more {what} in a second than it may", wait_seconds)

    def too_many(self, scope: str) -> LimitError:
        """The error of who has too many connections; counted."""
        self._exceeded.add(scope, "connections")
        message = f"this {scope} has as many connections as it may"
        return LimitError(TOO_MANY_CONNECTIONS, message, CONNECTIONS_RETRY_SECONDS)

    # -- inside

    def _book(self, quota: Quota) -> Book | None:
        return Book(quota) if any(limit is not None for limit in quota) else None


class Seat:
    """One connection, counted as long as somebody has ``enter``ed it: its session, or what below it lives longer.

    By its address at first, where that is limited, and by its user once that is known.
    """

    __slots__ = ("_entry", "_holders", "_name", "_paid", "_seats", "scope")

    def __init__(self, seats: Seats, address: str | None = None, paid: Bucket | None = None) -> None:
        """``paid`` is what one was taken from for it."""
        self._seats = seats
        self._name = address
        self._paid = paid
        self._holders = 0
        self._entry: Entry | None = None  # where it counts as a connection
        #: by what it counts
        self.scope = "address"

    @property
    def entry(self) -> Entry | None:
        """What is remembered of the user or the address; None where nothing is."""
        book = self._book
        return None if book is None or self._name is None else book.find(self._name)

    def identify(self, user: str, *, stays: bool) -> None:
        """The client is ``user``, and ``stays`` or has a single message; it counts by its address no more.

        Raises LimitError; then it counts as before. Nothing changes where that is known; who was refused for something
        else may be another one next time.
        """
        if self.scope == "user" and self._name == user:
            return
        seats, book = self._seats, self._seats.users
        entry = None if book is None else book.find(user)
        if book is not None and entry is not None:
            bucket, limit = (entry.connects, "connects") if stays else (entry.messages, "messages")
            if bucket is not None and not bucket.take(1, now := seats.clock()):
                raise seats.too_fast("user", limit, bucket.wait(now, 1))
            if self._holders and not book.enter(entry):
                raise seats.too_many("user")
        self._free()
        if self._paid is not None:
            self._paid.give_back(1)
            self._paid = None
        self.scope, self._name = "user", user
        self._entry = entry if self._holders else None

    def enter(self) -> None:
        """One more keeps the connection. Raises LimitError, where the connection is one too many."""
        entry = None if self._holders else self.entry
        if entry is not None:
            book = self._book
            assert book is not None
            if not book.enter(entry):
                raise self._seats.too_many(self.scope)
            self._entry = entry
        self._holders += 1

    def leave(self) -> None:
        """As often as ``enter``."""
        self._holders -= 1
        if not self._holders:
            self._free()

    # -- inside

    @property
    def _book(self) -> Book | None:
        return self._seats.users if self.scope == "user" else self._seats.addresses

    def _free(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            book = self._book
            assert book is not None
            book.leave(entry)

"""What every client got and was told, against what the stream held.

An entry of a client is a message (its place in its stream, and its payload), or the word that something is missing.
Between two messages without that word the second one follows the first in the stream: else it is lost unsaid, doubled
or out of order, and the run has failed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Got:
    """A message, at ``sequence`` of the stream ``identity``; or (``identity`` empty) a gap that was told.

    Without a ``payload`` it is the place where the client came in, first of all: it stands behind that message.
    """

    identity: str
    sequence: int
    payload: bytes | None = b""

    def __str__(self) -> str:
        if not self.identity:
            return "gap"
        return f"{self.identity}-{self.sequence} {'in' if self.payload is None else self.payload[:20]!r}"


GAP = Got("", 0)


def position_of(id: str) -> tuple[str, int]:
    """Identity and sequence of an id (``1.<identity>-<sequence>``)."""
    _, _, entry = id.partition(".")
    identity, _, sequence = entry.partition("-")
    return identity, int(sequence)


def number_of(payload: bytes) -> int:
    """The number that a message begins with, -1 where it has none; what follows is for its length."""
    word = payload.partition(b" ")[0]
    return int(word) if word.isdigit() else -1


class Counts:
    """Of dataclasses whose fields are numbers: they can be added up."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            *[mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)]
        )


@dataclass
class Account(Counts):
    """Of one client, or of several."""

    delivered: int = 0
    told: int = 0
    unsaid: int = 0
    doubled: int = 0
    reordered: int = 0
    wrong: int = 0

    @property
    def good(self) -> bool:
        return not (self.unsaid or self.doubled or self.reordered or self.wrong)


class Ledger:
    """``held`` is what the last stream has in the end, by sequence; ``identity`` is the one of that stream.

    The identity is learned from the clients: who publishes does not see it.
    """

    def __init__(self, identity: str, held: Mapping[int, bytes]) -> None:
        self._identity = identity
        self._held = held
        self._first = min(held, default=0)

    def account(self, entries: Iterable[Got]) -> Account:
        """What became of a client's part, up to its last message."""
        account = Account()
        last: Got | None = None
        excused = False
        for entry in entries:
            if entry.identity == "":
                excused = True
                account.told += 1
                continue
            if entry.payload is None:
                last = entry
                continue
            account.delivered += 1
            account.wrong += not self._is_right(entry)
            if last is not None and not excused:
                if entry.identity != last.identity:
                    account.unsaid += 1
                elif entry.sequence <= last.sequence:
                    account.doubled += entry.sequence == last.sequence
                    account.reordered += entry.sequence < last.sequence
                else:
                    account.unsaid += entry.sequence - last.sequence - 1
            elif last is not None and entry.identity == last.identity and entry.sequence <= last.sequence:
                account.doubled += 1  # a gap excuses no repetition
            last, excused = entry, False
        return account

    def first_flaw(self, entries: Sequence[Got]) -> str:
        """The entries up to the first that is not good, the last few of them; empty where all are."""
        end = bisect_left(range(len(entries) + 1), True, key=lambda count: not self.account(entries[:count]).good)
        if end > len(entries):
            return ""
        return ", ".join(map(str, entries[max(0, end - 5) : end]))

    def _is_right(self, entry: Got) -> bool:
        """What is gone from the stream, or went with one, cannot be compared."""
        if entry.identity != self._identity or entry.sequence < self._first:
            return True
        return self._held.get(entry.sequence) == entry.payload

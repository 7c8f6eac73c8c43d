"""Where a client stands in its durable channels, all of them together: for one that resumes with one position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from wsgw.bridges.place import Coming, Place
from wsgw.channels.position import MAX_STREAMS
from wsgw.fanout.stamp import StampingSender

#: Longest that a client waits to be told where it stands, for the sake of its other channels: a stream may be away.
PLACING_SECONDS = 10.0


class Places:
    """Keeps the stamp of ``sender`` as the places are told; ``mark_of(name, place)`` is its session's.

    What is missing is kept until it is asked for, to be told. ``after`` is what the client says it has: as long as it
    is not known where it stands everywhere, its position says the rest of that, too.
    """

    __slots__ = ("_after", "_carried", "_gaps", "_known", "_mark_of", "_then", "_timer", "_whole", "expected", "sender")

    def __init__(
        self,
        sender: StampingSender,
        mark_of: Callable[[str, Place], str],
        after: Mapping[str, int] | None = None,
    ) -> None:
        self.sender = sender
        self._mark_of = mark_of
        self._after = after or {}
        self._carried: list[str] = []  # what stands in the stamp for those marks, as names that no channel has
        self._gaps: dict[str, int | None] = {}  # by name, and how many are missing where that is known
        self._whole = True
        #: the names whose places are waited for, or could not be told in time
        self.expected: set[str] = set()
        self._then: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._known = False

    def expect(self, names: Iterable[str], then: Callable[[], None]) -> None:
        """Call ``then`` once, when the places of all ``names`` have been told, or were before; or not in time."""
        self.expected = set(names).difference(self.sender.stamp.marks)
        self._then = then
        if self.expected:
            self._timer = asyncio.get_running_loop().call_later(PLACING_SECONDS, self._tell)
        else:
            self._tell()

    def placed(self, name: str, place: Place) -> bool:
        """The client stands there; whether it was known before that all do."""
        known = self._known
        if place.coming is Coming.GAP:
            before = self._gaps.get(name, 0)
            self._gaps[name] = None if before is None or place.missed is None else before + place.missed
        self._whole = self._whole and place.coming is Coming.RECOVERED
        self.sender.stamp = self.sender.stamp.standing(name, self._mark_of(name, place), place.sequence)
        self._expect_no_more(name)
        return known

    def left(self, name: str) -> None:
        """The client does not subscribe to ``name`` any more."""
        self._gaps.pop(name, None)
        self.sender.stamp = self.sender.stamp.without(name)
        self._expect_no_more(name)

    def take_gaps(self) -> tuple[list[str], int | None]:
        """The names whose publications are missing, or may be, since that was asked last.

        And how many; None where that is not known.
        """
        gaps, self._gaps = self._gaps, {}
        missed = gaps.values()
        return [*gaps], None if None in missed else sum([one for one in missed if one is not None])

    @property
    def recovered(self) -> bool:
        """The client stands somewhere, and nothing is missing anywhere."""
        return self._whole and not self.expected and bool(self.sender.stamp.marks)

    def close(self) -> None:
        """Tell nobody anything more."""
        self._then = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside

    def _tell(self) -> None:
        then = self._then
        self.close()
        if then is not None:
            self._known = True
            if self.expected:
                self._carry()
            then()

    def _expect_no_more(self, name: str) -> None:
        self.expected.discard(name)
        if not self.expected:
            for carried in self._carried:
                self.sender.stamp = self.sender.stamp.without(carried)
            self._carried.clear()
            self._tell()

    def _carry(self) -> None:
        for mark, sequence in self._after.items():
            stamp = self.sender.stamp
            if mark not in stamp.marks.values() and len(stamp.marks) < MAX_STREAMS:
                self._carried.append(f" {mark}")
                self.sender.stamp = stamp.standing(f" {mark}", mark, sequence)

"""Where a client stands in several streams at once, said with each publication that it gets.

A client gives back one text only, that of the last publication it saw. So each says the client's place in all its
streams, as it is once the client has that publication; which differs by what else it subscribes to, and got before.
Clients that stand at the same places share what is made of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

from wsgw.channels.position import encode
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded, Wire
from wsgw.fanout.sender import Sender

#: Of one batch, for clients that stand at different places, that are kept at a time.
MAX_STAMPED = 4


class Stamp:
    """Sequences by the marks of names (``channels.position.mark``), and ``more`` to be said behind them. Immutable."""

    __slots__ = ("_hash", "_text", "marks", "more", "sequences")

    def __init__(self, marks: Mapping[str, str], sequences: Mapping[str, int], more: str = "") -> None:
        """``marks`` and ``sequences`` are by name, and have the same ones."""
        self.marks = marks
        self.sequences = sequences
        self.more = more
        self._hash = hash((frozenset(sequences.items()), more))
        self._text = ""

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Stamp)
            and self._hash == other._hash
            and self.sequences == other.sequences
            and self.marks == other.marks
            and self.more == other.more
        )

    def __hash__(self) -> int:
        return self._hash

    @property
    def text(self) -> str:
        """As the client gives it back."""
        if not self._text:
            self._text = encode({self.marks[name]: at for name, at in self.sequences.items()}) + self.more
        return self._text

    def around(self, name: str) -> tuple[str, str]:
        """``text`` before the sequence of ``name``, and behind it."""
        mark = f"{self.marks[name]}-"
        begin, found, rest = self.text.partition(mark)
        return begin + found, rest[len(str(self.sequences[name])) :]

    def standing(self, name: str, mark: str, sequence: int) -> Stamp:
        """As this, but at ``sequence`` of ``name``."""
        return Stamp({**self.marks, name: mark}, {**self.sequences, name: sequence}, self.more)

    def without(self, name: str) -> Stamp:
        """As this, of all other names."""
        marks = {one: mark for one, mark in self.marks.items() if one != name}
        return Stamp(marks, {one: self.sequences[one] for one in marks}, self.more)

    def saying(self, more: str) -> Stamp:
        """As this, with ``more`` behind it."""
        return Stamp(self.marks, self.sequences, more)


NOWHERE = Stamp({}, {})


class Stampable(Encoded):
    """A publication that has to be stamped; at ``sequence`` of its stream, None where no stream holds it."""

    __slots__ = ("sequence",)

    def __init__(self, sequence: int | None, *messages: Message) -> None:
        super().__init__(*messages)
        self.sequence = sequence


class StampingWire(Wire, Protocol):
    """A wire whose ``encode`` makes ``Stampable`` ones."""

    def stamp(self, item: Encoded, position: str) -> Encoded:
        """``item``, saying the ``position`` of who gets it."""
        ...


class StampingSender(Sender):
    """A ``Sender`` to a client that stands at ``stamp``, which moves with what is offered.

    While it is corked it has no room, so that nothing comes from streams: until the client knows where it stands.
    """

    __slots__ = ("_corked", "_stamping", "stamp")

    def __init__(self, wire: StampingWire, totals: OutboxTotals, overflowed: Callable[[], None]) -> None:
        super().__init__(wire, totals, overflowed)
        self._stamping = wire
        self._corked = False
        self.stamp = NOWHERE

    def offer(self, batch: Batch) -> bool:
        if self.closed:
            return False
        stamped, self.stamp = _stamped(batch, self.stamp, self._stamping)
        return super().offer(stamped)

    def stamped(self, item: Encoded) -> Encoded:
        """``item``, saying where the client stands."""
        return self._stamping.stamp(item, self.stamp.text)

    def cork(self) -> None:
        """Until ``uncork``; nothing may be known of the client before."""
        self._corked = True
        self.stamp = NOWHERE

    def uncork(self) -> None:
        """Undo it."""
        if self._corked:
            self._corked = False
            self._tell_room()

    def has_room(self, told: Callable[[], None]) -> bool:
        if self._corked and not self.closed:
            self._wait_for_room(told)
            return False
        return super().has_room(told)


def _stamped(batch: Batch, stamp: Stamp, wire: StampingWire) -> tuple[Batch, Stamp]:
    """``batch`` for a client that stands at ``stamp``, and where it stands then."""
    found = batch.made.get(stamp)
    if found is None:
        found = _stamp(batch, stamp, wire)
        if len(batch.made) >= MAX_STAMPED:
            batch.made.clear()
        batch.made[stamp] = found
    return cast(tuple[Batch, Stamp], found)


def _stamp(batch: Batch, stamp: Stamp, wire: StampingWire) -> tuple[Batch, Stamp]:
    name, items = batch.name, cast(Sequence[Stampable], batch.items)
    last = items[-1].sequence
    if last is None or name not in stamp.marks:
        said = [wire.stamp(item, stamp.text) for item in items]
        if batch.deliveries.needs_origins:
            for item, of in zip(said, items, strict=True):
                item.origin = of.origin
        return Batch(batch.deliveries, name, said), stamp
    begin, end = stamp.around(name)
    stamped = [wire.stamp(item, f"{begin}{item.sequence}{end}") for item in items]
    return Batch(batch.deliveries, name, stamped), stamp.standing(name, stamp.marks[name], last)

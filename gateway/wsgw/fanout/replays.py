"""What is made for clients who came back, and kept a while: many come back to the same place, or to near it."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from operator import attrgetter

from wsgw.channels.template import name_in
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.publication import Batch, Encoded, StreamPublication, Wire, cut

#: Batches that are kept: their bytes are joined, and those who stood at the same place share them.
MAX_BATCHES = 16
#: Publications that are kept encoded, for those who stood elsewhere: so many on end, and bytes of all.
BLOCK = 256
MAX_KEPT_BYTES = 4 * 1024 * 1024

#: A wire, the key of the name that clients subscribed to, the stream's identity, and the number of a block of
#: sequences.
_Key = tuple[Wire, str, str, int]


class _Block:
    __slots__ = ("items", "kept_bytes")

    def __init__(self) -> None:
        self.items: dict[int, Encoded] = {}
        self.kept_bytes = 0


class Replays:
    """Those of one hub."""

    def __init__(self) -> None:
        self._batches: OrderedDict[tuple[_Key, int, int], Batch] = OrderedDict()
        self._blocks: OrderedDict[_Key, _Block] = OrderedDict()
        self.kept_bytes = 0

    def batch(self, deliveries: Deliveries, wire: Wire, of: str, publications: Sequence[StreamPublication]) -> Batch:
        """``publications``, at least one, as ``wire`` has them for who subscribed to the name of the key ``of``."""
        first, last = publications[0].sequence, publications[-1].sequence
        key = wire, of, publications[0].identity, (first - 1) // BLOCK
        made = self._batches.get((key, first, last))
        if made is None:
            items = self._encoded(key, deliveries, publications)
            made = self._batches[key, first, last] = Batch(deliveries, name_in(of), items)
            if len(self._batches) > MAX_BATCHES:
                self._batches.popitem(last=False)
        return made

    def clear(self) -> None:
        """Keep nothing: a channel's options are others now."""
        self._batches.clear()
        self._blocks.clear()
        self.kept_bytes = 0

    # -- inside

    def _encoded(self, key: _Key, deliveries: Deliveries, publications: Sequence[StreamPublication]) -> list[Encoded]:
        wire, name = key[0], name_in(key[1])
        block = self._blocks.pop(key, None) or _Block()
        self._blocks[key] = block  # the last one that goes
        kept, found = block.items, []
        for publication in publications:
            item = kept.get(publication.sequence)
            if item is None:
                item = kept[publication.sequence] = wire.encode(deliveries.channel, name, publication)
                if deliveries.wants_json and publication.turned_out_no_json():
                    deliveries.not_json += 1
                block.kept_bytes += item.kept_bytes
                self.kept_bytes += item.kept_bytes
            found.append(item)
        while self.kept_bytes > MAX_KEPT_BYTES:
            _, gone = self._blocks.popitem(last=False)
            self.kept_bytes -= gone.kept_bytes
        return found


def first_of_block(publications: list[StreamPublication], size: int) -> list[StreamPublication]:
    """The first of ``publications``: up to where those of others end, too, so that they are one batch for all.

    ``size`` is how many sequences a block has.
    """
    if not publications:
        return publications
    last = (publications[0].sequence + size - 1) // size * size
    return cut(publications[: bisect_right(publications, last, key=attrgetter("sequence"))])[0]

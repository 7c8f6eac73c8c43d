"""A time in which NATS had no interest of ours, and what stands for it among publications."""

from __future__ import annotations

from dataclasses import dataclass

from wsgw.fanout.publication import Encoded


@dataclass(frozen=True, slots=True)
class Gap:
    """Its ``number`` is its own; later ones have higher ones.

    ``keys`` are those whose interest was lost; None: of all channels that no stream holds, with the connection.
    """

    number: int
    keys: frozenset[str] | None = None


class GapMark(Encoded):
    """The place of a ``gap`` between publications. It has no messages: what clients are told is their sessions'."""

    __slots__ = ("gap",)

    def __init__(self, gap: Gap) -> None:
        super().__init__()
        self.gap = gap

"""Where a client stands in a durable channel, as it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from wsgw.channels.position import encode


class Coming(Enum):
    """How a client came in."""

    #: with no position
    NEW = auto()
    #: with one, and it gets all that came since
    RECOVERED = auto()
    #: with one, or live, and something is missing, or may be
    GAP = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client stands, at ``sequence`` of the stream ``identity``: what comes now follows that.

    ``missed`` is how many publications it will not get, where that is known.
    """

    coming: Coming
    identity: str
    sequence: int
    missed: int | None = None

    @property
    def id(self) -> str:
        """As a client gives it back."""
        return encode({self.identity: self.sequence})

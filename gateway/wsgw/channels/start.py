"""From where on a client wants a durable channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """Nothing said: what comes from now on. The first that is said counts.

    ``after`` is a position (sequences by the identity of streams), or an empty one that nobody knows: then it is not
    recovered. ``last`` publications, or those ``since_seconds`` ago, need not be so many.
    """

    after: Mapping[str, int] | None = None
    last: int | None = None
    since_seconds: float | None = None


NOW = Start()

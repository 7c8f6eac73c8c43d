"""What the HTTP request that opens something said: an Engine.IO session, a WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handshake:
    """The last value of each ``query`` key, ``headers`` with lower-case names.

    ``client`` is the address of the other end, empty where it is not known.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client: str

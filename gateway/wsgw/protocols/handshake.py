"""What the HTTP request said that opened something: a WebSocket, a Socket.IO connection, a POST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Handshake:
    """``path`` and ``client`` (the other end's address, empty where it is not known) as they are; the rest on demand.

    Most is never asked for, and taking it apart costs more time and memory than all else that a connection's opening
    does here. ``raw_headers`` have lower-case names, as ASGI's.
    """

    __slots__ = ("_query", "_raw_headers", "_raw_query", "client", "path")

    def __init__(self, path: str, raw_query: bytes, raw_headers: Iterable[tuple[bytes, bytes]], client: str) -> None:
        self.path = path
        self.client = client
        self._raw_query = raw_query
        self._raw_headers = raw_headers
        self._query: Mapping[str, str] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each key of the query string; taken apart once."""
        if self._query is None:
            raw, self._raw_query = self._raw_query, b""
            self._query = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else _NOTHING
        return self._query

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each header, by its name in lower case; taken apart each time."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._raw_headers}

    def header(self, name: bytes) -> str | None:
        """The last value of the header ``name`` (in lower case), None where there is none."""
        found: bytes | None = None
        for key, value in self._raw_headers:
            if key == name:
                found = value
        return None if found is None else found.decode("latin-1")
